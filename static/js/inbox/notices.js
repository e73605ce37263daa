// Notices: what needs attention without a decision. Each ends when its cause does.

import { getAll, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Avatar, Button, Icon } from '../kit/basics.js';
import { monthAddress } from '../kit/decisions.js';
import { shortDay } from '../kit/format.js';
import { html, useRef, useState } from '../kit/html.js';
import { useLoad } from '../kit/load.js';
import { Some } from '../kit/pages.js';
import { sentence } from '../ui/form.js';
import { loadSites } from '../ui/sites.js';
import { dateTime } from '../ui/time.js';
import { RefusedPunchDialog } from './refused-punch.js';

/** @typedef {import('../waiting.js').Notice} Notice */
/** @typedef {{what: string, icon?: string, href?: string, action?: string}} Words `action` is the text of the link that leads to where the notice can be ended */

/** The words of the kinds. @type {Record<string, (notice: Notice) => Words>} */
const WORDS = {
  missing_out: ({ employee, day }) => ({ what: `No punch out on ${shortDay(day ?? '')}`, href: monthAddress(employee ?? '', day ?? ''), action: 'Correct the day' }),
  pin_locked: ({ employee }) => ({ what: 'The PIN was wrong five times in a row. It stays locked until a manager unlocks it, or until the person sets a new one', href: `/people#${employee}`, action: 'Show the person' }),
  erasure_request: ({ employee }) => ({ what: 'Asks to be erased. An administrator deletes the person, or erases the name and staff number, too, with the command “rollcall people erase”', href: `/people#${employee}`, action: 'Show the person' }),
  device_silent: ({ id }) => ({ what: 'This kiosk sends nothing: check its power and network', icon: 'tablet', href: `/devices?device=${id}`, action: 'Show the device' }),
  device_token_ends: ({ id, ends }) => ({ what: `Its token ${ends && Date.parse(ends) < Date.now() ? 'has ended: pair it again' : `ends on ${dateTime(ends ?? '')}`}`, icon: 'tablet', href: `/devices?device=${id}`, action: 'Show the device' }),
  mail_failing: ({ reason }) => ({ what: `Emails are not sent: ${reason ?? 'it accepts none'}`, icon: 'link', href: '/messages?part=letters', action: 'Show emails' }),
  refused_punch: ({ employee }) => ({ what: 'A punch that a kiosk saved was not accepted', ...(!employee && { icon: 'tablet' }) }),
  webhook_disabled: ({ id }) => ({ what: 'Rollcall disabled this webhook, because its receiver accepts nothing', icon: 'link', href: `/messages?webhook=${id}`, action: 'Open the webhook' }),
};

/** What tells a notice from others. @param {Notice} notice */
const noticeId = ({ kind, id, employee, day }) => [kind, id ?? employee, day].filter(Boolean).join(':');

/** The kinds whose time belongs to a site. */
const AT_SITE = ['missing_out', 'refused_punch'];

/**
 * Returns what finds the time zone in which a notice is read; nothing if that is not known.
 * @param {Notice[]} notices
 */
async function readZones(notices) {
  const sites = await loadSites();
  const zones = new Set(sites.map(({ zone }) => zone));
  /** @type {Map<string, string | undefined>} */
  const ofPunches = new Map();
  if (zones.size > 1 && notices.some(({ kind }) => kind === 'refused_punch')) {
    for (const { id, site } of await getAll('/api/refused-punches')) ofPunches.set(id, sites.find((one) => one.id === site)?.zone);
  }
  return (/** @type {Notice} */ { id }) => (zones.size === 1 ? [...zones][0] : ofPunches.get(id ?? ''));
}

/** @param {{notices: Notice[], edits: boolean, reload: () => Promise<void>}} props */
export function Notices({ notices, edits, reload }) {
  const { data } = useLoad(() => readZones(notices), [notices.map(noticeId).join()]);
  const known = useRef(data);
  // While it is read again, the last answer counts.
  known.current = data ?? known.current;
  /** When it began; nothing while the zone of the site is not known. @param {Notice} notice */
  const sinceOf = (notice) => {
    const { kind, since } = notice;
    if (!AT_SITE.includes(kind)) return dateTime(since);
    const zone = known.current?.(notice);
    return zone ? dateTime(since, zone) : '';
  };
  return html`
    <section class="card" aria-labelledby="list-notices">
      <h2 class="card-title" id="list-notices">Notices <span class="soft">${notices.length}</span></h2>
      <${Some} of=${notices}>${(/** @type {Notice[]} */ some) => html`<ul class="rows">${some.map((notice) => html`<${Row} key=${noticeId(notice)} notice=${notice} since=${sinceOf(notice)} edits=${edits} reload=${reload} />`)}</ul>`}<//>
    </section>
  `;
}

/** @param {{notice: Notice, since: string, edits: boolean, reload: () => Promise<void>}} props */
function Row({ notice, since, edits, reload }) {
  const { kind, id, name, employee } = notice;
  const { act, trouble } = useActions(reload);
  const [deciding, setDeciding] = useState(false);
  const { what, icon, href, action } = WORDS[kind]?.(notice) ?? { what: sentence(kind.replaceAll('_', ' ')) };
  return html`
    <li data-notice=${kind}>
      <div class="row">
        ${icon ? html`<span class="avatar"><${Icon} name=${icon} /></span>` : html`<${Avatar} name=${name} />`}
        <div class="row-main">
          <span class="row-title">${name}</span>
          <span class="row-what">${what}</span>
          ${since && html`<span class="row-note">Since ${since}</span>`}
        </div>
        <div class="row-side">
          ${kind === 'pin_locked' && edits && html`<${Button} tone="primary" label=${`Unlock the PIN of ${name}`} onClick=${act(() => request('POST', `/api/employees/${employee}/pin/unlock`), `The PIN of ${name} is unlocked`)}>Unlock the PIN<//>`}
          ${kind === 'refused_punch' && edits && html`<button class="button primary" type="button" aria-label=${[`Decide on the punch: ${name}`, since].filter(Boolean).join(', ')} onClick=${() => setDeciding(true)}>Decide</button>`}
          ${href && html`<a class="button" href=${href} aria-label=${`${action}: ${name}`}>${action}</a>`}
        </div>
      </div>
      ${trouble && html`<div class="row-refusal">${trouble}</div>`}
      ${deciding && id && html`<${RefusedPunchDialog} id=${id} close=${() => setDeciding(false)} reload=${reload} />`}
    </li>
  `;
}

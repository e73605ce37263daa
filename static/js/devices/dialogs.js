// The dialogs that add a device, show its token once, and change it or pair it again.

import { patch, post } from '../api.js';
import { Icon, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Secret } from '../kit/secret.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { clockTime, dateName, dateTime } from '../ui/time.js';
import { clockWords, endsSoon, hasEnded } from './words.js';

/** @typedef {import('./words.js').Device} Device */
/** @typedef {ApiSchema<'SiteView'>} Site */

/**
 * Asks whether the kiosk that shows a code is the one that the admin means: a stranger could give them a code, too.
 * @param {string} code
 */
async function isTheKiosk(code) {
  const { address, at } = await post('/api/pairings/look', { code });
  return ask({
    title: 'Pair this kiosk?',
    text: `A browser at ${address} asked for this code at ${clockTime(at)}. Pair it only if you see this code on the kiosk itself.`,
    action: 'Pair',
  });
}

/** The field for the code of a kiosk. @param {{about: string, hint?: string}} props */
const Code = ({ about, hint }) =>
  html`<${Field} name="code" label=${html`Code <span class="optional">(${about})</span>`} required=${false} maxlength="32" autocapitalize="characters" spellcheck="false" placeholder="K7PM-3XQ2" hint=${hint} />`;

/** The site, if there are several; without a `chosen` one it must be chosen. @param {{sites: Site[], chosen?: string}} props */
const SiteField = ({ sites, chosen }) =>
  sites.length > 1 && html`<${Field} name="site" label="Site" options=${[...(chosen ? [] : [['', 'Choose a site']]), ...sites.map(({ id, name }) => [id, name])]} value=${chosen ?? ''} invalid="Choose the site where the device is" />`;

/** @param {{sites: Site[], done: (device: ApiSchema<'RegisteredView'>) => Promise<void>, close: () => void}} props */
export function AddDialog({ sites, done, close }) {
  const only = sites[0]?.id ?? '';
  const send = async (/** @type {Record<string, string>} */ { name = '', site = only, code = '' }) => {
    const typed = code.trim();
    if (typed && !(await isTheKiosk(typed))) return;
    await done(await post('/api/devices', { name: name.trim(), site, ...(typed && { code: typed }) }));
  };
  return html`
    <${Dialog} title="Add a device" onClose=${close}>
      <${Form} send=${send} action="Add" cancel=${close}>
        <${Field} name="name" label="Name" maxlength="120" placeholder="Front door" invalid="Type a name" autofocus />
        <${SiteField} sites=${sites} />
        <${Code} about="if the kiosk shows one" />
      <//>
    <//>
  `;
}

/** @param {{device: Device, sites: Site[], done: (words: string) => Promise<void>, close: () => void}} props */
export function ChangeDialog({ device, sites, done, close }) {
  // The site may have been added or removed meanwhile.
  const offered = sites.some(({ id }) => id === device.site) ? sites : [...sites, /** @type {Site} */ ({ id: device.site, name: device.site_name })];
  const send = async (/** @type {Record<string, string>} */ { name = '', site = device.site, code = '' }) => {
    const typed = code.trim();
    if (typed && !(await isTheKiosk(typed))) return;
    await patch(`/api/devices/${device.id}`, { name: name.trim(), site });
    if (typed) await post(`/api/devices/${device.id}/pair`, { code: typed });
    await done(typed ? `${name.trim()} is paired` : 'Saved');
  };
  return html`
    <${Dialog} title="Change the device" onClose=${close}>
      <${Facts} device=${device} />
      <${Form} send=${send} action="Save" cancel=${close}>
        <${Field} name="name" label="Name" maxlength="120" invalid="Type a name" value=${device.name} autofocus />
        <${SiteField} sites=${offered} chosen=${device.site} />
        <${Code} about="to make another kiosk this device" hint="For a new tablet, or a browser that lost its pairing. Punches and name stay; the earlier token ends." />
      <//>
    <//>
  `;
}

/** What is known of a device, and what to do about what is wrong. @param {{device: Device}} props */
function Facts({ device: { seen_at: seen, silent, status, token_expires_at: ends } }) {
  const facts = [
    ['Last seen', seen ? dateTime(seen) : 'Never'],
    ['Token ends', ends ? dateName(ends) : 'Never'],
    ...(status
      ? [
          ['Version', status.version],
          ['Punches to send', status.unsent + (status.refused > 0 ? `, and ${status.refused} refused` : '')],
          ['Clock', sentence(clockWords(status.clock_offset_ms))],
          ['Camera', sentence(status.camera)],
        ]
      : []),
  ];
  return html`
    <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${silent && html`<${Notice} kind="warn">It has sent nothing for 15 minutes, so people may be punching nowhere. Switch it on, open /kiosk there, and check its network.<//>`}
    ${status && status.unsent > 0 && html`<${Notice} kind="info">It saved ${plural(status.unsent, 'punch', 'punches')} while it could not reach Rollcall, and sends ${status.unsent === 1 ? 'it' : 'them'} by itself.<//>`}
    ${status && status.refused > 0 && html`<${Notice} kind="warn">${refusedWords(status.refused)}<//>`}
    ${
      ends &&
      endsSoon(ends) &&
      html`<${Notice} kind="warn">${hasEnded(ends) ? 'Its token has ended: it cannot punch.' : 'Its token ends soon.'} ${status && !hasEnded(ends) ? 'The kiosk renews it by itself when it is on.' : 'If it is a kiosk, open /kiosk there and type below the code that it shows. A camera or other software renews its token with POST /api/device/token before the end, or is added again.'}<//>`
    }
  `;
}

/** @param {number} count */
function refusedWords(count) {
  const them = count === 1 ? 'it' : 'them';
  return `The kiosk still keeps ${plural(count, 'saved punch', 'saved punches')} that Rollcall did not accept, and hands ${them} over. Decide about ${them} under Notices; do not write ${them} by hand as well.`;
}

/** @param {{device: ApiSchema<'RegisteredView'>, close: () => void}} props */
export function TokenDialog({ device: { name, token }, close }) {
  const link = new URL('/kiosk', location.origin);
  link.hash = token ?? '';
  return html`
    <${Dialog} title="Pair the kiosk" onClose=${close}>
      <p>Open this link once on the device for <strong>${name}</strong>. You will not see it again.</p>
      <${Secret} label="Pairing link" value=${link.href} />
      <${Secret} label="Access token, for cameras or other software" value=${token ?? ''} />
      ${
        (location.protocol !== 'https:' || isThisMachine(location.hostname)) &&
        html`<${Notice} kind="warn">This link does not work on a tablet: browsers allow the camera only over https, or at localhost on this machine. On the tablet, open /kiosk at the https address of Rollcall and paste the token.<//>`
      }
      <div class="actions end">
        <a class="button" href=${link.href} target="_blank" rel="noopener"><${Icon} name="link" />Open here</a>
        <button class="button primary" type="button" data-close>Done</button>
      </div>
    <//>
  `;
}

/** Checks whether a link with this host leads every machine to itself. @param {string} host */
const isThisMachine = (host) => host === 'localhost' || host.endsWith('.localhost') || host.startsWith('127.') || host === '[::1]';

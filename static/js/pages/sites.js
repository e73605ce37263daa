// Sites: the list, and the dialog that adds or changes one.

import { patch, post, remove } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button, Icon, PageHead } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Field, Form } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { ZoneField, ownZone } from '../kit/zone.js';
import { abilities, currentAccount } from '../session.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { loadSites } from '../ui/sites.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'SiteView'>} Site */

const USUAL_START = '04:00';
const USUAL_DIGITS = 6;
/** What is on or off at a site. @type {[name: 'grow_templates' | 'face_and_pin' | 'kiosk_enrollment' | 'mqtt_names', label: string, hint: string][]} */
const CHOICES = [
  ['grow_templates', 'Improve templates with clear punches', 'At most three templates of a person come from punches, only with their consent. They can be removed on the page People.'],
  [
    'face_and_pin',
    'Ask for the face and the PIN or badge',
    'A face alone is then not enough, nor is a PIN or badge of a person with an enrolled face. People without an enrolled face punch with their PIN or badge alone. Cameras record no punches here.',
  ],
  ['kiosk_enrollment', 'Let people enroll their face at kiosks', 'People who work here read the consent, agree, and take the photos themselves, or withdraw, with their PIN or badge.'],
  ['mqtt_names', 'Tell home automation who punched last', 'Only with MQTT. If this is off, home automation learns that an employee punched, but not the name.'],
];

/** @type {(id: string) => `/api/sites/${string}`} */
const address = (id) => `/api/sites/${encodeURIComponent(id)}`;

async function read() {
  const [account, sites] = await Promise.all([currentAccount(), loadSites()]);
  return { mayChange: abilities(account).administer, sites };
}

export function Page() {
  const known = useLoad(read, []);
  const [open, setOpen] = useState(/** @type {Site | 'new' | undefined} */ (undefined));
  const { act, trouble } = useActions(known.reload);
  const close = () => setOpen(undefined);
  const removal = (/** @type {Site} */ { id, name }) =>
    act(async () => {
      if (!(await ask({ title: `Remove ${name}?`, text: 'Past punches are kept, with the name of the site.', action: 'Remove' }))) return false;
      await remove(address(id));
    }, `${name} was removed`);
  const done = async (/** @type {string} */ words) => {
    close();
    await known.reload();
    toast(words);
  };
  return html`
    <${PageHead}
      title="Sites"
      lead="The time zone and the start of the workday decide to which day a punch belongs."
      actions=${known.data?.mayChange && html`<button class="button primary" type="button" onClick=${() => setOpen('new')}><${Icon} name="plus" />Add a site</button>`}
    />
    ${trouble}
    <${Show} of=${known}>${(/** @type {Awaited<ReturnType<typeof read>>} */ { mayChange, sites }) => html`
      <section class="card" aria-label="Sites">
        <ul class="rows" id="sites">
          ${sites.map(
            (site) => html`<li key=${site.id}>
              <div class="row">
                <span class="avatar"><${Icon} name="site" /></span>
                <span class="row-main">
                  <span class="row-title">${site.name}</span>
                  <span class="row-note">${`${site.zone} · workday from ${site.workday_starts}`}</span>
                </span>
                ${site.is_default && html`<${Badge} title="People, devices and cameras belong here unless you choose another site">Default<//>`}
                <a class="button" href=${`/site?id=${site.id}`} aria-label=${`Rules of ${site.name}`}>Rules</a>
                ${mayChange && html`<button class="button" type="button" aria-label=${`Change ${site.name}`} onClick=${() => setOpen(site)}>Change</button>`}
                ${mayChange && !site.is_default && html`<${Button} tone="danger" label=${`Remove ${site.name}`} onClick=${removal(site)}>Remove<//>`}
              </div>
            </li>`,
          )}
        </ul>
      </section>
    `}<//>
    ${open && html`<${SiteDialog} site=${open === 'new' ? undefined : open} done=${done} close=${close} />`}
  `;
}

/** @param {{site: Site | undefined, done: (words: string) => Promise<void>, close: () => void}} props `site` is the one to change */
function SiteDialog({ site, done, close }) {
  const send = async (/** @type {Record<string, string>} */ { name = '', zone = '', workday_starts = '', pin_digits = '', ...ticked }) => {
    const [grow_templates, face_and_pin, kiosk_enrollment, mqtt_names] = CHOICES.map(([choice]) => choice in ticked);
    const body = { name: name.trim(), zone: zone.trim(), workday_starts, pin_digits: Number(pin_digits), grow_templates, face_and_pin, kiosk_enrollment, mqtt_names };
    const { face_alone: alone } = await (site ? patch(address(site.id), body) : post('/api/sites', body));
    if (alone) return done(`${plural(alone, 'person', 'people')} with a face ${alone === 1 ? 'has' : 'have'} neither a PIN nor a badge, and cannot punch here`);
    return done(site ? 'Saved' : `${body.name} was added`);
  };
  return html`
    <${Dialog} title=${site ? 'Change the site' : 'Add a site'} onClose=${close}>
      <${Form} send=${send} action=${site ? 'Save' : 'Add'} cancel=${close}>
        <${Field} name="name" label="Name" maxlength="64" placeholder="Harbor" value=${site?.name} invalid="Type a name" autofocus />
        <${ZoneField} name="zone" label="Time zone" value=${site?.zone ?? ownZone()} />
        <${Field} name="workday_starts" label="Start of the workday" type="time" value=${site?.workday_starts ?? USUAL_START} invalid="Type a time such as 04:00" hint="A punch before this time belongs to the day before, so that a late shift ends on the day on which it began." />
        <${Field} name="pin_digits" label="Digits of a PIN" type="number" min="4" max="8" value=${String(site?.pin_digits ?? USUAL_DIGITS)} invalid="Type a number from 4 to 8" hint="4 to 8. PINs that were set before stay valid." />
        ${CHOICES.map(([name, label, hint]) => html`<${Check} key=${name} name=${name} label=${label} hint=${hint} checked=${site?.[name]} />`)}
      <//>
    <//>
  `;
}

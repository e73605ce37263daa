// Devices: kiosks and cameras that push pictures, how they are, and their pairing.

import { getAll, remove } from '../api.js';
import { AddDialog, ChangeDialog, TokenDialog } from '../devices/dialogs.js';
import { troubles } from '../devices/words.js';
import { useActions } from '../kit/actions.js';
import { parameter, setParameters } from '../kit/address.js';
import { Badge, Button, Empty, Icon, PageHead } from '../kit/basics.js';
import { html, useEffect, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { abilities, currentAccount } from '../session.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { loadSites, siteNote } from '../ui/sites.js';
import { dateName, dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {import('../devices/words.js').Device} Device */

/** How often the list is read again: kiosks report every minute. */
const LOOK_MS = 30_000;
/** From this many devices on, there is a search. */
const MANY = 20;

async function read() {
  const [account, sites, devices] = await Promise.all([currentAccount(), loadSites(), getAll('/api/devices')]);
  return { mayChange: abilities(account).administer, sites, devices };
}

export function Page() {
  const known = useLoad(read, []);
  const [adding, setAdding] = useState(false);
  useEffect(() => {
    const looking = setInterval(() => document.hidden || known.reload(), LOOK_MS);
    return () => clearInterval(looking);
  }, []);
  return html`
    <${PageHead}
      title="Devices"
      lead=${html`<p>Kiosks where people punch, and cameras that send pictures through the <a href="/api/docs">API</a>.</p>`}
      actions=${known.data?.mayChange && html`<button class="button primary" type="button" onClick=${() => setAdding(true)}><${Icon} name="plus" />Add a device</button>`}
    />
    <${Show} of=${known}>${(/** @type {Awaited<ReturnType<typeof read>>} */ data) => html`<${Devices} ...${data} adding=${adding} endAdding=${() => setAdding(false)} reload=${known.reload} />`}<//>
  `;
}

/** @param {Awaited<ReturnType<typeof read>> & {adding: boolean, endAdding: () => void, reload: () => Promise<void>}} props */
function Devices({ mayChange, sites, devices, adding, endAdding, reload }) {
  const [registered, setRegistered] = useState(/** @type {ApiSchema<'RegisteredView'> | undefined} */ (undefined));
  const { act, trouble } = useActions(reload);
  const words = parameter('q').trim().toLocaleLowerCase();
  const found = words ? devices.filter((device) => `${device.name} ${device.site_name} ${troubles(device).join(' ')}`.toLocaleLowerCase().includes(words)) : devices;
  // A notice leads to one of them.
  const shown = devices.find(({ id }) => id === parameter('device'));
  const show = (/** @type {string} */ id) => setParameters({ device: id }, { stay: true });
  useEffect(() => {
    document.querySelector('[data-shown]')?.scrollIntoView({ block: 'nearest' });
  }, [shown?.id]);

  const added = async (/** @type {ApiSchema<'RegisteredView'>} */ device) => {
    endAdding();
    await reload();
    // A kiosk that shows a code fetches its token itself.
    if (device.token) setRegistered(device);
    else toast(`${device.name} is paired`);
  };
  const changed = async (/** @type {string} */ words) => {
    show('');
    await reload();
    toast(words);
  };
  const revoke = (/** @type {Device} */ { id, name, status }) =>
    act(async () => {
      const text = 'Its token stops working at once. Nobody can punch there until a kiosk is added again. Past punches are kept. For a new tablet or a lost pairing, choose Change instead: it stays the same device.';
      const unsent = status?.unsent ? `It has ${plural(status.unsent, 'punch', 'punches')} saved that ${status.unsent === 1 ? 'was' : 'were'} not sent yet: they stay on the tablet, and arrive only if it is paired again. ` : '';
      if (!(await ask({ title: `Revoke ${name}?`, text: unsent + text, action: 'Revoke' }))) return false;
      await remove(`/api/devices/${id}`);
    }, `${name} was revoked`);
  return html`
    ${trouble}
    ${(devices.length >= MANY || words) && html`<div class="toolbar"><input class="input" type="search" placeholder="Name, site or trouble" aria-label="Search devices by name, site or trouble" value=${parameter('q')} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => setParameters({ q: currentTarget.value }, { stay: true })} /><p class="soft" role="status">${words ? `${found.length} of ${plural(devices.length, 'device')}` : plural(devices.length, 'device')}</p></div>`}
    <section class="card" aria-label="Devices">
      ${devices.length > 0 && found.length === 0 && html`<${Empty}><p>No device fits. Change the search.</p><//>`}
      ${
        devices.length === 0 &&
        html`<${Empty}>
          <${Icon} name="tablet" />
          <h2>No devices yet</h2>
          <p>A kiosk is any tablet or computer with a camera and a browser. ${mayChange ? 'Open /kiosk on it, then add it here with the code that it shows.' : 'Ask an admin to add one.'}</p>
        <//>`
      }
      <ul class="rows" id="devices">
        ${found.map(
          (device) => html`<li key=${device.id} data-device=${device.id} data-shown=${device === shown ? '' : undefined}>
            <div class="row">
              <span class="avatar"><${Icon} name="tablet" /></span>
              <span class="row-main">
                <span class="row-title">${device.name}</span>
                <span class="row-note wrap">${noteOf(device)}</span>
                <span class="badges">${troubles(device).map((words) => html`<${Badge} key=${words} tone="warn">${words}<//>`)}</span>
              </span>
              ${
                mayChange &&
                html`<button class="button" type="button" aria-label=${`Change ${device.name}`} onClick=${() => show(device.id)}>Change</button>
                  <${Button} tone="danger" label=${`Revoke ${device.name}`} onClick=${revoke(device)}>Revoke<//>`
              }
            </div>
          </li>`,
        )}
      </ul>
    </section>
    ${adding && html`<${AddDialog} sites=${sites} done=${added} close=${endAdding} />`}
    ${mayChange && shown && html`<${ChangeDialog} key=${shown.id} device=${shown} sites=${sites} done=${changed} close=${() => show('')} />`}
    ${registered && html`<${TokenDialog} device=${registered} close=${() => setRegistered(undefined)} />`}
  `;
}

/** @param {Device} device */
const noteOf = (device) => [siteNote(device), `added ${dateName(device.created_at)}`, device.seen_at ? `seen ${dateTime(device.seen_at)}` : 'never seen', device.status && `version ${device.status.version}`].filter(Boolean).join(' · ');

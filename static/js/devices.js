// Devices: the list, adding one (its token is shown once, as a pairing link), revoking one.

import { explain, get, post, remove } from './api.js';
import { abilities, currentAccount } from './session.js';
import { copyFrom } from './ui/copy.js';
import { ask, closable } from './ui/dialog.js';
import { byId, el, icon, notice } from './ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from './ui/form.js';
import { dateName } from './ui/time.js';
import { toast } from './ui/toast.js';

/** @typedef {{id: string, name: string, site: string | null, created_at: string}} Device */

const list = byId('devices');
const addDialog = /** @type {HTMLDialogElement} */ (closable(byId('add-dialog')));
const tokenDialog = /** @type {HTMLDialogElement} */ (byId('token-dialog'));
let mayRevoke = false;

async function load() {
  try {
    const devices = [];
    let cursor;
    do {
      const page = await get('/api/devices', { query: { cursor } });
      devices.push(...page.items);
      cursor = page.next;
    } while (cursor);
    list.replaceChildren(...devices.map(row));
    byId('trouble').replaceChildren();
    byId('empty').hidden = devices.length > 0;
    byId('empty').replaceChildren(
      icon('tablet'),
      el('h3', { text: 'No devices yet' }),
      el('p', { text: 'A kiosk is any tablet or computer with a camera and a browser. Add it here, then open its pairing link on it.' }),
    );
  } catch (error) {
    list.replaceChildren();
    byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
  }
  list.removeAttribute('aria-busy');
}

/** @param {Device} device */
function row(device) {
  const note = [device.site, `added ${dateName(device.created_at)}`].filter(Boolean).join(' · ');
  const revokeButton = el('button', { class: 'button danger', type: 'button', text: 'Revoke', 'aria-label': `Revoke ${device.name}` });
  revokeButton.addEventListener('click', () => revoke(device, /** @type {HTMLButtonElement} */ (revokeButton)));
  return el(
    'li',
    {},
    el(
      'div',
      { class: 'row' },
      el('span', { class: 'avatar' }, icon('tablet')),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: device.name }), el('span', { class: 'row-note', text: note })),
      mayRevoke && revokeButton,
    ),
  );
}

/**
 * @param {Device} device
 * @param {HTMLButtonElement} button
 */
async function revoke(device, button) {
  const sure = await ask({
    title: `Revoke ${device.name}?`,
    text: 'Its token stops working at once, and nobody can punch there until it is paired anew. Its punches stay.',
    action: 'Revoke',
  });
  if (!sure) return;
  try {
    await busy(button, () => remove(`/api/devices/${encodeURIComponent(device.id)}`));
    toast(`${device.name} is revoked`);
    await load();
  } catch (error) {
    toast(sentence(explain(error)));
  }
}

onSubmit(byId('add-form'), async ({ name, site, code }) => {
  const device = await post('/api/devices', { name: name.trim(), ...(site.trim() && { site: site.trim() }), ...(code.trim() && { code: code.trim() }) });
  addDialog.close();
  // A kiosk that shows the code fetches its token by itself.
  if (device.token) showToken(device);
  else toast(`${device.name} is paired`);
  await load();
});

/** @param {Device & {token: string}} device */
function showToken({ name, token }) {
  const link = new URL('/kiosk', location.origin);
  link.hash = token;
  byId('token-name').textContent = name;
  byId('token-link').value = link.href;
  byId('token-value').value = token;
  byId('token-open').href = link.href;
  byId('token-insecure').hidden = location.protocol === 'https:' && !isThisMachine(location.hostname);
  tokenDialog.showModal();
}

/**
 * Whether a link with this host leads every machine to itself.
 * @param {string} host
 */
const isThisMachine = (host) => host === 'localhost' || host.endsWith('.localhost') || host.startsWith('127.') || host === '[::1]';

tokenDialog.addEventListener('click', async (event) => {
  const pressed = /** @type {Element} */ (event.target).closest('button');
  if (pressed?.hasAttribute('data-close')) tokenDialog.close();
  const source = pressed?.dataset.copy;
  if (!source) return;
  toast((await copyFrom(byId(source))) ? 'Copied' : 'Press Ctrl+C to copy it');
});

// The token is gone from the page with the dialog.
tokenDialog.addEventListener('close', () => {
  byId('token-link').value = '';
  byId('token-value').value = '';
  byId('token-open').removeAttribute('href');
});

addDialog.addEventListener('close', () => {
  byId('add-form').reset();
  clearErrors(byId('add-form'));
});

byId('add').addEventListener('click', () => addDialog.showModal());

list.replaceChildren(...Array.from({ length: 2 }, () => el('li', { class: 'skeleton' })));
try {
  mayRevoke = abilities(await currentAccount()).administer;
  byId('add').hidden = !mayRevoke;
  await load();
} catch (error) {
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}

// Devices: shows the list, adds a device (its token is shown once, as a pairing link), changes and revokes devices.

import { explain, get, patch, post, remove } from './api.js';
import { abilities, currentAccount } from './session.js';
import { copyFrom } from './ui/copy.js';
import { ask, closable } from './ui/dialog.js';
import { byId, el, icon, notice } from './ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from './ui/form.js';
import { loadSites, offerSites, siteNote } from './ui/sites.js';
import { clockTime, dateName, dateTime } from './ui/time.js';
import { toast } from './ui/toast.js';

/** @typedef {ApiSchema<'DeviceView'>} Device */

/** A clock that differs by more than this is worth a word, milliseconds. */
const CLOCK_OFF_MS = 30_000;
/** A token that ends within this time is worth a word; kiosks renew theirs long before. */
const TOKEN_ENDS_MS = 30 * 24 * 3_600_000;

const list = byId('devices');
const addDialog = closable(byId('add-dialog'));
const editDialog = closable(byId('edit-dialog'));
const tokenDialog = byId('token-dialog');
let mayChange = false;

async function load() {
  try {
    await loadSites();
    /** @type {Device[]} */
    const devices = [];
    /** @type {string | null | undefined} */
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
      el('p', { text: 'A kiosk is any tablet or computer with a camera and a browser. Add it here, then open its pairing link on that device.' }),
    );
  } catch (error) {
    list.replaceChildren();
    byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
  }
  list.removeAttribute('aria-busy');
}

/** @param {Device} device */
function row(device) {
  const seen = device.seen_at && `seen ${dateTime(device.seen_at)}`;
  const note = [siteNote(device), `added ${dateName(device.created_at)}`, seen, device.status && `version ${device.status.version}`].filter(Boolean).join(' · ');
  const changeButton = el('button', { class: 'button', type: 'button', text: 'Change', 'aria-label': `Change ${device.name}` });
  changeButton.addEventListener('click', () => openEdit(device));
  const revokeButton = el('button', { class: 'button danger', type: 'button', text: 'Revoke', 'aria-label': `Revoke ${device.name}` });
  revokeButton.addEventListener('click', () => revoke(device, revokeButton));
  return el(
    'li',
    {},
    el(
      'div',
      { class: 'row' },
      el('span', { class: 'avatar' }, icon('tablet')),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: device.name }), el('span', { class: 'row-note', text: note })),
      el('span', { class: 'row-side' }, ...troubles(device).map((text) => el('span', { class: 'badge warn', text }))),
      mayChange && changeButton,
      mayChange && revokeButton,
    ),
  );
}

/**
 * Returns what an admin should know about a device.
 * @param {Device} device
 */
function troubles({ silent, status, token_expires_at }) {
  const words = [silent && 'Silent'];
  if (status) {
    const { unsent, refused, camera, clock_offset_ms: offset } = status;
    words.push(
      camera === 'off' && 'Camera off',
      unsent > 0 && `${unsent} saved`,
      refused > 0 && `${refused} refused`,
      Math.abs(offset) > CLOCK_OFF_MS && `Clock ${clockWords(Math.abs(offset))} ${offset > 0 ? 'ahead' : 'behind'}`,
    );
  }
  if (token_expires_at && Date.parse(token_expires_at) - Date.now() < TOKEN_ENDS_MS) words.push(`Token ends ${dateName(token_expires_at)}`);
  return words.filter((word) => word !== false);
}

/** @param {number} offset milliseconds */
function clockWords(offset) {
  const minutes = Math.round(offset / 60_000);
  if (minutes < 1) return `${Math.round(offset / 1000)} s`;
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/** The device that the form changes. @type {Device | null} */
let changed = null;

/** @param {Device} device */
function openEdit(device) {
  changed = device;
  clearErrors(byId('edit-form'));
  byId('edit-name').value = device.name;
  offerSites(byId('edit-site'), device);
  editDialog.showModal();
}

onSubmit(byId('edit-form'), async ({ name, site, code }) => {
  const { id } = /** @type {Device} */ (changed);
  if (code.trim() && !(await isTheKiosk(code))) return;
  await patch(`/api/devices/${encodeURIComponent(id)}`, { name: name.trim(), site });
  if (code.trim()) await post(`/api/devices/${encodeURIComponent(id)}/pair`, { code: code.trim() });
  editDialog.close();
  await load();
  toast(code.trim() ? `${name.trim()} is paired` : 'Saved');
});

editDialog.addEventListener('close', () => (byId('edit-code').value = ''));

/**
 * Asks whether the kiosk that shows a code is the one that the admin means: a stranger could tell them a code, too.
 * @param {string} code
 */
async function isTheKiosk(code) {
  const { address, at } = await post('/api/pairings/look', { code: code.trim() });
  return ask({
    title: 'Pair this kiosk?',
    text: `A browser at ${address} asked for this code at ${clockTime(at)}. Pair it only if you see this code on the kiosk itself.`,
    action: 'Pair',
  });
}

/**
 * @param {Device} device
 * @param {HTMLButtonElement} button
 */
async function revoke(device, button) {
  const sure = await ask({
    title: `Revoke ${device.name}?`,
    text: 'Its token stops working at once. Nobody can punch there until the device is paired again. Past punches are kept.',
    action: 'Revoke',
  });
  if (!sure) return;
  try {
    await busy(button, () => remove(`/api/devices/${encodeURIComponent(device.id)}`));
    toast(`${device.name} was revoked`);
    await load();
  } catch (error) {
    toast(sentence(explain(error)));
  }
}

onSubmit(byId('add-form'), async ({ name, site, code }) => {
  if (code.trim() && !(await isTheKiosk(code))) return;
  const device = await post('/api/devices', { name: name.trim(), site, ...(code.trim() && { code: code.trim() }) });
  addDialog.close();
  // A kiosk that shows a code fetches its token itself.
  if (device.token) showToken(device.name, device.token);
  else toast(`${device.name} is paired`);
  await load();
});

/**
 * @param {string} name
 * @param {string} token
 */
function showToken(name, token) {
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
 * Checks whether a link with this host leads every machine to itself.
 * @param {string} host
 */
const isThisMachine = (host) => host === 'localhost' || host.endsWith('.localhost') || host.startsWith('127.') || host === '[::1]';

tokenDialog.addEventListener('click', async (event) => {
  const pressed = /** @type {Element} */ (event.target).closest('button');
  if (pressed?.hasAttribute('data-close')) tokenDialog.close();
  const source = /** @type {'token-link' | 'token-value' | undefined} */ (pressed?.dataset.copy);
  if (!source) return;
  toast((await copyFrom(byId(source))) ? 'Copied' : 'Press Ctrl+C to copy it');
});

// Removes the token from the page with the dialog.
tokenDialog.addEventListener('close', () => {
  byId('token-link').value = '';
  byId('token-value').value = '';
  byId('token-open').removeAttribute('href');
});

addDialog.addEventListener('close', () => {
  byId('add-form').reset();
  clearErrors(byId('add-form'));
});

byId('add').addEventListener('click', () => {
  offerSites(byId('add-site'));
  addDialog.showModal();
});

list.replaceChildren(...Array.from({ length: 2 }, () => el('li', { class: 'skeleton' })));
try {
  mayChange = abilities(await currentAccount()).administer;
  byId('add').hidden = !mayChange;
  await load();
} catch (error) {
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}

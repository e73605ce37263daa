// Unknown faces: the list, page by page, and deleting one.

import { explain, get, remove } from './api.js';
import { abilities, currentAccount } from './session.js';
import { ask } from './ui/dialog.js';
import { byId, el, icon, notice } from './ui/dom.js';
import { busy, sentence } from './ui/form.js';
import { dateTime } from './ui/time.js';
import { toast } from './ui/toast.js';

/** @typedef {{id: string, at: string, source: 'device' | 'camera', device: string, device_name: string | null}} UnknownFace */

const list = byId('faces');
const more = /** @type {HTMLButtonElement} */ (byId('more'));
const PAGE = '24';

/** @type {string | null} */
let next = null;

/** The next page, below those that are here. */
async function load() {
  const page = await get('/api/unknown-faces', { query: { limit: PAGE, cursor: next ?? undefined } });
  list.append(...page.items.map(item));
  next = page.next;
  more.hidden = !next;
}

/** Whether any are kept, and how long: above the list as well as without one. */
async function showKept() {
  const { unknown_faces: kept } = await get('/api/status');
  byId('kept').hidden = !kept;
  byId('empty').replaceChildren(icon('face'), el('h3', { text: 'No unknown faces' }), ...(kept ? [] : [el('p', { text: 'None are kept: KEEP_UNKNOWN_FACES is off.' })]));
}

function showEmpty() {
  byId('empty').hidden = list.childElementCount > 0;
}

/** @param {UnknownFace} face */
function item(face) {
  const where = face.device_name ?? (face.source === 'camera' ? 'A camera' : 'A device');
  const when = dateTime(face.at);
  const address = `/api/unknown-faces/${encodeURIComponent(face.id)}`;
  const button = /** @type {HTMLButtonElement} */ (el('button', { class: 'button danger', type: 'button', text: 'Delete', 'aria-label': `Delete the face of ${when}` }));
  const row = el(
    'li',
    {},
    el('img', { src: `${address}/picture`, alt: `Somebody at ${where}, ${when}`, loading: 'lazy', width: 320, height: 320 }),
    el('span', {}, el('time', { datetime: face.at, text: when }), el('span', { class: 'row-note', text: where })),
    button,
  );
  button.addEventListener('click', () => forget(address, row, button));
  return row;
}

/**
 * @param {string} address
 * @param {HTMLElement} row
 * @param {HTMLButtonElement} button
 */
async function forget(address, row, button) {
  const sure = await ask({ title: 'Delete this face?', text: 'Its picture is deleted for good.', action: 'Delete' });
  if (!sure) return;
  try {
    await busy(button, () => remove(address));
    row.remove();
    toast('The face is deleted');
    showEmpty();
  } catch (error) {
    toast(sentence(explain(error)));
  }
}

more.addEventListener('click', async () => {
  try {
    await busy(more, load);
  } catch (error) {
    toast(sentence(explain(error)));
  }
});

list.replaceChildren(...Array.from({ length: 4 }, () => el('li', { class: 'skeleton' })));
try {
  const { look } = abilities(await currentAccount());
  list.replaceChildren();
  if (look) {
    await Promise.all([load(), showKept()]);
    showEmpty();
  } else {
    byId('trouble').replaceChildren(notice('bad', 'Only admins and managers may look at unknown faces.'));
  }
} catch (error) {
  list.replaceChildren();
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}
list.removeAttribute('aria-busy');

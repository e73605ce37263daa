// Unknown faces: shows the list page by page and deletes faces.

import { explain, get, remove } from './api.js';
import { abilities, currentAccount } from './session.js';
import { ask } from './ui/dialog.js';
import { byId, el, icon, notice } from './ui/dom.js';
import { busy, sentence } from './ui/form.js';
import { dateTime } from './ui/time.js';
import { toast } from './ui/toast.js';

/** @typedef {ApiSchema<'UnknownFaceView'>} UnknownFace */

const list = byId('faces');
const more = byId('more');
const PAGE = '24';

/** @type {string | null | undefined} */
let next = null;

/** Loads the next page below the current ones. */
async function load() {
  const page = await get('/api/unknown-faces', { query: { limit: PAGE, cursor: next } });
  list.append(...page.items.map(item));
  next = page.next;
  more.hidden = !next;
}

/** Shows whether and for how long faces are kept, with and without a list. */
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
  const where = face.origin.name ?? (face.origin.kind === 'camera' ? 'A camera' : 'A device');
  const when = dateTime(face.at, face.zone);
  /** @type {`/api/unknown-faces/${string}`} */
  const address = `/api/unknown-faces/${encodeURIComponent(face.id)}`;
  const button = el('button', { class: 'button danger', type: 'button', text: 'Delete', 'aria-label': `Delete the face from ${when}` });
  const row = el(
    'li',
    {},
    el('img', { src: `${address}/picture`, alt: `Unknown person at ${where}, ${when}`, loading: 'lazy', width: 320, height: 320 }),
    el('span', {}, el('time', { datetime: face.at, text: when }), el('span', { class: 'row-note', text: where })),
    button,
  );
  button.addEventListener('click', () => forget(address, row, button));
  return row;
}

/**
 * @param {`/api/unknown-faces/${string}`} address
 * @param {HTMLElement} row
 * @param {HTMLButtonElement} button
 */
async function forget(address, row, button) {
  const sure = await ask({ title: 'Delete this face?', text: 'Its picture is deleted permanently.', action: 'Delete' });
  if (!sure) return;
  try {
    await busy(button, () => remove(address));
    row.remove();
    toast('The face was deleted');
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
    byId('trouble').replaceChildren(notice('bad', 'Only admins and managers can view unknown faces.'));
  }
} catch (error) {
  list.replaceChildren();
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}
list.removeAttribute('aria-busy');

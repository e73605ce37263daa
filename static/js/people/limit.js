// The limit on enrollments: while it is lifted, says until when, and lets admins end that.

import { explain, get, remove } from '../api.js';
import { byId, el, notice, plural } from '../ui/dom.js';
import { busy, sentence } from '../ui/form.js';
import { dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @type {number | undefined} */
let ending;

/**
 * Shows whether the limit is lifted.
 * @param {boolean} mayEnd whether this account may end that
 */
export async function showLimit(mayEnd) {
  clearTimeout(ending);
  const place = byId('limit');
  try {
    const { limit, lifted_until: until, lifted_by: by } = await get('/api/enrollment-limit/lift');
    if (!until || !limit) return place.replaceChildren();
    const end = el('button', { class: 'button', type: 'button', text: 'End that now', onclick: () => endLift(end, mayEnd) });
    const words = `The limit of ${plural(limit, 'enrollment')} an hour is lifted until ${dateTime(until)}${by ? `, by ${by}` : ''}.`;
    place.replaceChildren(notice('info', el('p', { text: words }), mayEnd ? el('div', { class: 'actions' }, end) : null));
    ending = setTimeout(() => showLimit(mayEnd), Math.max(1_000, Date.parse(until) - Date.now()));
  } catch (error) {
    place.replaceChildren(notice('bad', sentence(explain(error))));
  }
}

/**
 * @param {HTMLButtonElement} button
 * @param {boolean} mayEnd
 */
async function endLift(button, mayEnd) {
  try {
    await busy(button, () => remove('/api/enrollment-limit/lift'));
    toast('The limit counts again');
  } catch (error) {
    toast(sentence(explain(error)));
  }
  await showLimit(mayEnd);
}

// Times of a workday.

import { zonesNote } from '../ui/time.js';
import { shortDay, wallClock, wallDate } from './format.js';
import { html } from './html.js';

/**
 * A time with the offset of its zone, as the clock at the site shows it; with its date if that is not the workday.
 * @param {{at: string, day: string}} props
 */
export const Clock = ({ at, day }) =>
  html`<time datetime=${at} title=${at.slice(19)}>${wallClock(at)}${wallDate(at) !== day && html` <span class="row-note">${shortDay(wallDate(at))}</span>`}</time>`;

/** Says that the times around it are not those of the reader, if so. @param {{zones: import('../ui/time.js').Zone[]}} props */
export function ZonesNote({ zones }) {
  const words = zonesNote(zones);
  return words && html`<p class="soft small">${words}</p>`;
}

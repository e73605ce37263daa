// Times of a workday.

import { shortDay, wallClock, wallDate } from './format.js';
import { html } from './html.js';

/**
 * A time with the offset of its zone, as the clock at the site shows it; with its date if that is not the workday.
 * @param {{at: string, day: string}} props
 */
export const Clock = ({ at, day }) =>
  html`<time datetime=${at} title=${at.slice(19)}>${wallClock(at)}${wallDate(at) !== day && html` <span class="row-note">${shortDay(wallDate(at))}</span>`}</time>`;

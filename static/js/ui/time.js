// Formats times for people, in the browser's time zone.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const DATE = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });

/** @param {string | number | Date} at "09:01" */
export const clockTime = (at) => CLOCK.format(new Date(at));

/** @param {string | number | Date} at "Saturday, November 21" */
export const dayName = (at) => DAY.format(new Date(at));

/** @param {string | number | Date} at "Nov 21, 2026" */
export const dateName = (at) => DATE.format(new Date(at));

/** @param {string | number | Date} at "Nov 21, 2026, 09:01" */
export const dateTime = (at) => `${dateName(at)}, ${clockTime(at)}`;

/**
 * Returns a waiting time in words.
 * @param {number} seconds
 */
export function waitWords(seconds) {
  if (seconds <= 90) return `${Math.max(1, Math.ceil(seconds))} s`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

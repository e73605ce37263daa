// Formats dates, times and lengths for people. Times of attendance are shown in the zone of the site, which the service
// writes into them: "2026-03-02T08:00:00+01:00" is 08:00, wherever the browser is.

const DAY = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
const SHORT = new Intl.DateTimeFormat('en', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' });
const MONTH = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' });
const MINUTE = 60;
const HOUR = 3600;
const DAY_MS = 86_400_000;

/** @param {string} date `YYYY-MM-DD` */
const moment = (date) => new Date(`${date}T00:00:00Z`);

/** Formats a date; a text that is none stays as it is. @param {Intl.DateTimeFormat} format @param {string} date */
const say = (format, date) => (Number.isNaN(moment(date).getTime()) ? date : format.format(moment(date)));

/** "Monday, March 2, 2026" @param {string} date */
export const longDay = (date) => say(DAY, date);

/** "Mon, Mar 2" @param {string} date */
export const shortDay = (date) => say(SHORT, date);

/** "March 2026" @param {string} date a date of the month */
export const monthName = (date) => say(MONTH, date);

/** "Mon, Mar 2 – Sun, Mar 8" @param {string} from @param {string} to */
export const dateRange = (from, to) => (from === to ? shortDay(from) : `${shortDay(from)} – ${shortDay(to)}`);

/** "08:00" @param {string | null | undefined} at a time with the offset of its zone */
export const wallClock = (at) => at?.slice(11, 16) ?? '';

/** "2026-03-02" @param {string} at a time with the offset of its zone */
export const wallDate = (at) => at.slice(0, 10);

/**
 * Returns what a clock in a zone shows at a time: "2026-03-02T08:00:12".
 * @param {string | number | Date} at
 * @param {string} zone
 */
export const wallTime = (at, zone) => new Intl.DateTimeFormat('sv', { dateStyle: 'short', timeStyle: 'medium', timeZone: zone }).format(new Date(at)).replace(' ', 'T');

/**
 * Returns the times at which a clock in a zone shows this: one, two in the hour that is repeated when clocks go back,
 * or none in the hour that is left out when they go forward.
 * @param {string} wall "2026-03-02T08:00"
 * @param {string} zone
 */
export function timesOf(wall, zone) {
  const read = Date.parse(`${wall}Z`);
  if (Number.isNaN(read)) return [];
  const offset = (/** @type {number} */ at) => Date.parse(`${wallTime(at, zone)}Z`) - at;
  const near = [read - DAY_MS, read + DAY_MS].map((at) => read - offset(at));
  const found = new Set(near.filter((at) => wallTime(at, zone).startsWith(wall)));
  return [...found].sort((a, b) => a - b).map((at) => new Date(at).toISOString());
}

/** Returns the present date in a zone. @param {string} zone */
export const todayIn = (zone) => wallDate(wallTime(Date.now(), zone));
/** "March 2026" for a whole month, else "Mon, Mar 2 – Sun, Mar 8". @param {string} from @param {string} to */
export const periodName = (from, to) => (from === monthOf(from).from && to === monthOf(from).to ? monthName(from) : dateRange(from, to));

/** Returns the date some days later. @param {string} date @param {number} days */
export const addDays = (date, days) => new Date(moment(date).getTime() + days * DAY_MS).toISOString().slice(0, 10);

/** Returns the first date of a month some months later. @param {string} date @param {number} months */
export function addMonths(date, months) {
  const day = moment(date);
  return new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + months, 1)).toISOString().slice(0, 10);
}

/** Returns the first and the last date of a month. @param {string} date a date of the month */
export const monthOf = (date) => ({ from: addMonths(date, 0), to: addDays(addMonths(date, 1), -1) });

/** The present date in the browser's zone, for what has no site. */
export const browserToday = () => {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
};

/**
 * A length as hours and minutes, "7:30"; seconds are cut off, as on a clock.
 * @param {number | null | undefined} seconds
 */
export function hours(seconds) {
  const whole = Math.trunc(Math.abs(seconds ?? 0) / MINUTE) * MINUTE;
  const sign = (seconds ?? 0) < 0 && whole > 0 ? '−' : '';
  return `${sign}${Math.trunc(whole / HOUR)}:${String((whole % HOUR) / MINUTE).padStart(2, '0')}`;
}

/** A length that says so when it is more than nothing: "+0:30", "−0:15", "0:00". @param {number} seconds */
export const signedHours = (seconds) => (seconds >= MINUTE ? `+${hours(seconds)}` : hours(seconds));

/** A length, or nothing when it is zero. @param {number | null | undefined} seconds */
export const hoursOrNothing = (seconds) => (seconds ? hours(seconds) : '');

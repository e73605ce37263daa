// Formats times for people. What concerns the reader, such as a sign-in, is shown in the browser's time zone. What belongs to
// a site, such as a punch, is shown in that of the site, which is then named if its clocks differ from those here.

/** @typedef {string | null | undefined} Zone a time zone such as "Europe/Berlin"; nothing for that of the browser */

/** Makes the formats of a time zone, by default that of the browser. @param {string} [timeZone] */
const makeFormats = (timeZone) => ({
  clock: new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone }),
  day: new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long', timeZone }),
  date: new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric', timeZone }),
  name: new Intl.DateTimeFormat('en', { timeZoneName: 'short', timeZone }),
});

/** The formats of each zone. @type {Map<Zone, ReturnType<typeof makeFormats>>} */
const known = new Map();
/** Whether the clocks of a zone are those here. @type {Map<string, boolean>} */
const same = new Map();
/** The zones that this browser does not know. @type {Set<Zone>} */
const unknown = new Set();

/** Returns the formats of a zone. A zone that the browser does not know has those of the browser's. @param {Zone} zone */
function formatsOf(zone) {
  let formats = known.get(zone);
  if (formats) return formats;
  try {
    formats = makeFormats(zone ?? undefined);
  } catch {
    formats = makeFormats();
    unknown.add(zone);
  }
  known.set(zone, formats);
  return formats;
}

/** "09:01" @param {string | number | Date} at @param {Zone} [zone] */
export const clockTime = (at, zone) => formatsOf(zone).clock.format(new Date(at));

/** "Saturday, November 21" @param {string | number | Date} at @param {Zone} [zone] */
export const dayName = (at, zone) => formatsOf(zone).day.format(new Date(at));

/** "Nov 21, 2026" @param {string | number | Date} at @param {Zone} [zone] */
export const dateName = (at, zone) => formatsOf(zone).date.format(new Date(at));

/** "09:01", or "09:01 GMT+1" in a zone whose clocks differ. @param {string | number | Date} at @param {Zone} [zone] */
export const zonedClock = (at, zone) => `${clockTime(at, zone)}${zoneMark(at, zone)}`;

/** "Nov 21, 2026, 09:01", or "Nov 21, 2026, 09:01 GMT+1" in a zone whose clocks differ. @param {string | number | Date} at @param {Zone} [zone] */
export const dateTime = (at, zone) => `${dateName(at, zone)}, ${zonedClock(at, zone)}`;

/** Returns " GMT+1" for a zone whose clocks differ from those here or are not known, else nothing. @param {string | number | Date} at @param {Zone} zone */
export function zoneMark(at, zone) {
  if (isHere(zone)) return '';
  const parts = formatsOf(zone).name.formatToParts(new Date(at));
  return ` ${parts.find(({ type }) => type === 'timeZoneName')?.value ?? zone}`;
}

/** Whether the clocks of a zone show the same as those here in each month. @param {Zone} zone */
function isHere(zone) {
  if (!zone) return true;
  let here = same.get(zone);
  if (here === undefined) {
    const months = Array.from({ length: 12 }, (_, month) => Date.UTC(new Date().getUTCFullYear(), month, 1));
    here = months.every((at) => clockTime(at) === clockTime(at, zone) && dateName(at) === dateName(at, zone)) && !unknown.has(zone);
    same.set(zone, here);
  }
  return here;
}

/**
 * Says that the times of a page are not those here; nothing if they are.
 * @param {Zone[]} zones those of the sites on the page
 */
export function zonesNote(zones) {
  const names = [...new Set(zones)].filter((zone) => zone != null);
  if (names.every(isHere)) return '';
  const list = (/** @type {string[]} */ some) => some.sort().join(', ').replaceAll('_', ' ');
  const strange = names.filter((zone) => unknown.has(zone));
  if (strange.length > 0) return `This browser does not know the time zone of a site (${list(strange)}), and can show times in its own: update it`;
  const words = list(names);
  return names.length === 1 ? `Times are in the time zone of the site (${words})` : `Times are in the time zones of the sites (${words})`;
}

/**
 * Returns a waiting time in words.
 * @param {number} seconds
 */
export function waitWords(seconds) {
  if (seconds <= 90) return `${Math.max(1, Math.ceil(seconds))} s`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

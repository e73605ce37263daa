// What is planned, in words.

import { hours } from '../kit/format.js';
import { secondsOf } from '../kit/lengths.js';
import { plural } from '../ui/dom.js';

/** @typedef {{from: string, to: string, unpaid_break?: string, flexible?: boolean, work?: string | null}} Times the times of a shift */

const DAY = 86_400;

/** Whether it ends on the next date. @param {Times} shift */
const overnight = ({ from, to }) => to <= from;

/** @param {string} clock "22:00" */
const clockSeconds = (clock) => clock.split(':').reduce((all, part, place) => all + Number(part) * 60 ** (2 - place), 0);

/** Returns the seconds from the start to the end. @param {Times} shift */
export const span = (shift) => clockSeconds(shift.to) - clockSeconds(shift.from) + (overnight(shift) ? DAY : 0);

/** Returns the seconds of work. @param {Times} shift */
export const work = (shift) => (shift.flexible ? secondsOf(shift.work) : Math.max(0, span(shift) - secondsOf(shift.unpaid_break)));

/** "30 minutes", "7:30 h" @param {number} seconds */
export const lengthWords = (seconds) => (seconds < 3600 && seconds % 60 === 0 ? plural(seconds / 60, 'minute') : `${hours(seconds)} h`);

/** "22:00 to 06:00 of the next day" @param {Times} shift */
export function rangeWords(shift) {
  if (shift.to === '00:00' || shift.to === '24:00') return `${shift.from} to midnight`;
  return `${shift.from} to ${shift.to}${overnight(shift) ? ' of the next day' : ''}`;
}

/** "22:00 to 06:00 of the next day, 30 minutes unpaid break, 7:30 h" @param {Times} shift */
export function shiftWords(shift) {
  if (!shift.from || !shift.to) return '';
  if (shift.flexible) return `${hours(work(shift))} h at any time from ${rangeWords(shift)}`;
  const pause = secondsOf(shift.unpaid_break);
  return `${rangeWords(shift)}, ${pause > 0 ? `${lengthWords(pause)} unpaid break` : 'no break'}, ${hours(work(shift))} h`;
}

/** The color of a shift, by when it starts: early, later, or night. @param {Times} shift */
export function shiftTone({ from, flexible }) {
  if (flexible) return '';
  if (from >= '04:00' && from < '11:00') return 'in';
  return from >= '11:00' && from < '18:00' ? 'warn' : 'out';
}

/**
 * "14 days: Early ×5, free ×2, Late ×5, free ×2"
 * @param {(string | null)[]} shifts
 * @param {Map<string, {name: string}>} known
 */
export function cycleWords(shifts, known) {
  /** @type {[name: string, count: number][]} */
  const runs = [];
  for (const id of shifts) {
    const name = id ? (known.get(id)?.name ?? 'a removed shift') : 'free';
    const last = runs.at(-1);
    if (last?.[0] === name) last[1] += 1;
    else runs.push([name, 1]);
  }
  return `${plural(shifts.length, 'day')}: ${runs.map(([name, count]) => (count > 1 ? `${name} ×${count}` : name)).join(', ')}`;
}

/**
 * Returns the shift that a cycle has on a date; null for a free day.
 * @param {{starts: string, shifts: (string | null)[]}} cycle
 * @param {string} date
 */
export function shiftOn({ starts, shifts }, date) {
  const days = Math.round((Date.parse(date) - Date.parse(starts)) / 86_400_000);
  const length = shifts.length || 1;
  return shifts[((days % length) + length) % length] ?? null;
}

/** Returns the Monday of the week of a date. @param {string} date */
export function mondayOf(date) {
  const day = new Date(`${date}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
  return day.toISOString().slice(0, 10);
}

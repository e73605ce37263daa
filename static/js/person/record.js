// What is on record of a person's month, and what an account may do about it.

import { get, getAll } from '../api.js';
import { addDays, monthOf, todayIn, wallDate, wallTime } from '../kit/format.js';
import { abilities } from '../session.js';

/** @typedef {ApiSchema<'AccountView'>} Account */
/** @typedef {ApiSchema<'EmployeeView'>} Person */
/** @typedef {ApiSchema<'CorrectionView'>} Correction */
/** @typedef {ApiSchema<'TimesheetDetailView'>} Sheet */
/** @typedef {ApiSchema<'PunchView'>} Punch */
/** @typedef {ApiSchema<'DayView'> & {running_balance?: number | null}} Day */
/** @typedef {Omit<ApiSchema<'DaysView'>, 'days'> & {days: Day[], running_balance?: {start: number, end: number}}} Days */

/**
 * What an account may do for a person.
 * @typedef {object} Rights
 * @property {string} account the account's ID
 * @property {boolean} own whether the person is the account's own
 * @property {boolean} asks may ask for corrections and leave
 * @property {boolean} decides may decide about them
 * @property {boolean} atOnce whether what the account enters counts at once
 * @property {boolean} administers
 * @property {boolean} board whether the account has the board
 */

/**
 * A punch, with what approved corrections made of it.
 * @typedef {object} Line
 * @property {string} id
 * @property {string} kind
 * @property {string} at
 * @property {Punch} [punch] as it was recorded; a punch that a correction added has none
 * @property {string} [was] its time before it was moved
 * @property {boolean} removed
 */

/** @typedef {Awaited<ReturnType<typeof readMonth>>} Month */

/** Days before and after a day whose punches are read: a punch can be moved by seven days. */
const MARGIN = 8;

/** @param {Account} account @param {Person} person @param {boolean} fourEyes */
function rightsOver(account, person, fourEyes) {
  const { survey, request, administer } = abilities(account);
  const own = account.employee === person.id;
  const covers = account.grants.some(({ role, site }) => role === 'admin' || (role === 'manager' && (!site || site === person.site)));
  const decides = covers && (administer || !own);
  /** @type {Rights} */
  return { account: account.id, own, asks: covers || (own && request), decides, atOnce: decides && !fourEyes, administers: administer, board: survey };
}

/**
 * Reads a person with what the account may do for them.
 * @param {Account} account
 * @param {string} id
 */
export async function readPerson(account, id) {
  const person = await get(`/api/employees/${encodeURIComponent(id)}`);
  const rights = rightsOver(account, person, false);
  if (!rights.decides) return { person, rights };
  const { items: rules } = await get(`/api/sites/${person.site}/rules`);
  const holding = rules.filter(({ from }) => from <= new Date().toISOString().slice(0, 10)).at(-1);
  return { person, rights: rightsOver(account, person, holding?.four_eyes ?? false) };
}

/**
 * Reads the timesheets of a person that have a date of a range, by date.
 * @param {string} id
 * @param {{from: string, to: string}} range
 */
async function readSheets(id, { from, to }) {
  const found = [];
  for (let date = from; date <= to; ) {
    const { items } = await get('/api/timesheets', { query: { employee: id, period: date } });
    if (!items[0]) break;
    found.push(get(`/api/timesheets/${items[0].id}`));
    date = addDays(items[0].to, 1);
  }
  return Promise.all(found);
}

/**
 * Reads a month of a person.
 * @param {string} id
 * @param {string} date a date of the month
 */
export async function readMonth(id, date) {
  const { from, to } = monthOf(date);
  const query = { employee: id, from, to };
  const [sheets, leave, kinds] = await Promise.all([readSheets(id, { from, to }), getAll('/api/leave', query), getAll('/api/leave-kinds')]);
  // After the timesheets, so that a digest is never newer than the figures that are shown.
  const exact = sheets.find(({ timesheet }) => timesheet.from === from && timesheet.to === to);
  /** @type {Days} */
  const days = exact?.figures ?? (await get(`/api/employees/${id}/days`, { query: { from, to } }));
  return { days, sheets, leave, kinds, today: todayIn(days.days[0]?.zone ?? 'UTC') };
}

/**
 * Reads the punches around a day, and the corrections that may touch it.
 * @param {string} id
 * @param {string} day
 * @param {Sheet[]} sheets the known timesheets
 */
export async function readPunches(id, day, sheets) {
  const query = { employee: id, from: `${addDays(day, -MARGIN)}T00:00:00Z`, to: `${addDays(day, MARGIN)}T00:00:00Z` };
  // A correction belongs to the timesheet in which its punch lies, which can be the next one.
  const known = (/** @type {string} */ date) => sheets.some(({ timesheet }) => timesheet.from <= date && date <= timesheet.to);
  const near = [addDays(day, -1), addDays(day, 1)].filter((date) => !known(date));
  const [punches, ...others] = await Promise.all([getAll('/api/punches', query), ...near.map((date) => readSheets(id, { from: date, to: date }))]);
  return { punches, others: others.flat() };
}

/** Returns the corrections of timesheets, in the order in which they were made. @param {Sheet[]} sheets */
export const correctionsOf = (sheets) => sheets.flatMap(({ corrections }) => corrections).sort((a, b) => a.made_at.localeCompare(b.made_at));

/** Returns the IDs of the punches that made a day. @param {Day} day */
function punchesIn({ steps }) {
  const named = /** @type {{punch?: string, punches?: string[]}[]} */ (/** @type {unknown} */ (steps));
  return new Set(named.flatMap(({ punch, punches }) => punches ?? punch ?? []));
}

/** Returns the date on the clock of a day's zone. @param {string} at @param {Day} day */
const dateOf = (at, { zone }) => wallDate(wallTime(at, zone));

/**
 * Returns the punches of a day by time: those that made its figures, and those of its date that made no other day.
 * @param {Day} day
 * @param {Day[]} days the days around it
 * @param {Punch[]} punches
 * @param {Correction[]} corrections
 * @returns {Line[]}
 */
export function linesOf(day, days, punches, corrections) {
  /** @type {Map<string, Line>} */
  const lines = new Map(punches.map((punch) => [punch.id, { id: punch.id, kind: punch.kind, at: punch.at, punch, removed: false }]));
  const approved = corrections.filter(({ state }) => state === 'approved').sort((a, b) => (a.decided_at ?? '').localeCompare(b.decided_at ?? ''));
  for (const { action, punch: id, kind, at } of approved) {
    if (action === 'add') lines.set(id, { id, kind: kind ?? '', at: at ?? '', removed: false });
    const line = lines.get(id);
    if (!line) continue;
    if (action === 'void') line.removed = true;
    if (action === 'move' && at) Object.assign(line, { was: line.was ?? line.at, at });
  }
  const here = punchesIn(day);
  const elsewhere = new Set(days.filter((other) => other.day !== day.day).flatMap((other) => [...punchesIn(other)]));
  const belongs = (/** @type {Line} */ { id, at }) => here.has(id) || (!elsewhere.has(id) && dateOf(at, day) === day.day);
  return [...lines.values()].filter(belongs).sort((a, b) => a.at.localeCompare(b.at));
}

/**
 * Returns the corrections that touch a day: those of its punches, and those whose new time is on its date.
 * @param {Day} day
 * @param {Correction[]} corrections
 * @param {Line[]} lines its punches, as far as they are known
 */
export function touching(day, corrections, lines = []) {
  const ids = new Set([...punchesIn(day), ...lines.map(({ id }) => id)]);
  return corrections.filter(({ punch, at }) => ids.has(punch) || (at && dateOf(at, day) === day.day));
}

/**
 * Returns what is planned for a day in words: shifts, holiday, leave.
 * @param {Day} day
 */
export function planWords({ steps }) {
  /** @type {string[]} */
  const words = [];
  for (const step of /** @type {Record<string, any>[]} */ (steps)) {
    if (step.code === 'planned') words.push(step.shift);
    if (step.code === 'holiday') words.push(step.part === 'half' ? 'Half a holiday' : 'Holiday');
    if (step.code === 'leave') words.push(step.kind);
  }
  return [...new Set(words)];
}

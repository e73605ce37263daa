// Decisions: what is asked for in words, what the service refused, and work on several at once.

import { Problem, explain } from '../api.js';
import { sentence } from '../ui/form.js';
import { zoneMark } from '../ui/time.js';
import { Notice } from './basics.js';
import { dateRange, shortDay, wallClock, wallDate, wallTime } from './format.js';
import { html, useState } from './html.js';
import { KINDS, LEAVE_PARTS, SHORT_EXCEPTIONS } from './words.js';

/** @typedef {{day: string, exceptions: string[]}} BlockedDay */
/** @typedef {{words: string, code: string, days: BlockedDay[]}} Refusal why the service refused something */

/** What the service says to programs, for people. @type {Record<string, string>} */
const WORDS = { timesheet_locked: 'This day is locked. Approve this one alone to make it an adjustment, or ask an admin to unlock the timesheet' };

/** Returns why a request failed. @param {unknown} error @returns {Refusal} */
export function refusalOf(error) {
  const problem = error instanceof Problem ? error : undefined;
  const { days = [] } = /** @type {{days?: BlockedDay[]}} */ (problem?.body ?? {});
  const code = problem?.code ?? '';
  return { words: WORDS[code] ?? sentence(explain(error)), code, days };
}

/**
 * Shows why something was refused, with links to the days that have to be settled.
 * @param {{refusal: Refusal, employee: string}} props
 */
export const RefusalNotice = ({ refusal: { words, days }, employee }) => html`<${Notice} kind="bad">${words}${days.length > 0 && html`: <${BlockedDays} days=${days} employee=${employee} />`}<//>`;

/**
 * Days that cannot be approved, as links to the person's month.
 * @param {{days: BlockedDay[], employee: string}} props
 */
export const BlockedDays = ({ days, employee }) =>
  html`<span class="days-list">${days.map(
    ({ day, exceptions }) => html`<span key=${day}><a href=${monthAddress(employee, day)}>${shortDay(day)}</a> (${exceptions.length > 0 ? exceptions.map((code) => SHORT_EXCEPTIONS[code] ?? code).join(', ') : 'still at work'})</span>`,
  )}</span>`;

/**
 * What is chosen of a list, by its IDs. `choose` adds some or takes them off, `chooseOnly` replaces all.
 * @returns {{chosen: Set<string>, choose: (some: {id: string}[], on: boolean) => void, chooseOnly: (ids: string[]) => void}}
 */
export function useChoice() {
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const choose = (/** @type {{id: string}[]} */ some, /** @type {boolean} */ on) =>
    setChosen((before) => {
      const after = new Set(before);
      for (const { id } of some) {
        if (on) after.add(id);
        else after.delete(id);
      }
      return after;
    });
  return { chosen, choose, chooseOnly: (ids) => setChosen(new Set(ids)) };
}

/** The address of a person's month. @param {string} employee @param {string} date a date of the month */
export const monthAddress = (employee, date) => `/person?id=${employee}&month=${date}`;

/**
 * Returns the day of a correction, in the zone of the site.
 * @param {ApiSchema<'ListedCorrectionView'>} correction
 */
export function dayOf({ at, old, zone, made_at: madeAt }) {
  return wallDate(wallTime(old?.at ?? at ?? madeAt, zone ?? 'UTC'));
}

/**
 * Returns what a correction changes: "Add out at 16:30 on Mon, Mar 2", and in which time zone if its clocks differ from
 * those of the reader.
 * @param {ApiSchema<'ListedCorrectionView'>} correction
 */
export function correctionWords(correction) {
  const { at, old, made_at: madeAt, zone } = correction;
  return `${changeWords(correction)}${zoneMark(at ?? old?.at ?? madeAt, zone ?? 'UTC')}`;
}

/** @param {ApiSchema<'ListedCorrectionView'>} correction */
function changeWords({ action, kind, at, old, zone }) {
  const when = (/** @type {string | null | undefined} */ time) => (time ? wallTime(time, zone ?? 'UTC') : '');
  const [was, will] = [when(old?.at), when(at)];
  const name = (KINDS[kind ?? old?.kind ?? ''] ?? 'punch').toLocaleLowerCase();
  const on = (/** @type {string} */ time) => `${wallClock(time)} on ${shortDay(wallDate(time))}`;
  if (action === 'add') return `Add ${name} at ${on(will)}`;
  if (action === 'void') return was ? `Remove ${name} at ${on(was)}` : 'Remove a punch';
  if (!was) return `Move a punch to ${on(will)}`;
  return `Move ${name} from ${wallDate(was) === wallDate(will) ? wallClock(was) : on(was)} to ${on(will)}`;
}

/**
 * Returns what leave is asked for: "Vacation, Mon, Jan 11 – Fri, Jan 15".
 * @param {ApiSchema<'LeaveView'>} leave
 */
export function leaveWords({ kind_name: kind, from, to, part, hours }) {
  const some = part === 'hours' && hours ? `${hours.from} to ${hours.to}` : LEAVE_PARTS[part]?.toLocaleLowerCase();
  return `${kind}, ${dateRange(from, to)}${part === 'whole' || !some ? '' : `, ${some}`}`;
}

/** How often work on several shows how far it is: drawing a long list takes longer than a request. */
const SHOW_MS = 200;

/**
 * Does something with each of several, and returns those that were refused.
 * @template Item
 * @param {Item[]} items
 * @param {(item: Item) => Promise<unknown>} work
 * @param {(progress: {done: number, all: number} | undefined) => void} show shows how far it is, now and then; at last nothing
 * @param {number} [together] how many are done at the same time
 * @returns {Promise<{item: Item, refusal: Refusal}[]>}
 */
export async function workThrough(items, work, show, together = 1) {
  /** @type {{item: Item, refusal: Refusal}[]} */
  const refused = [];
  const left = items.values();
  let [done, shown] = [0, 0];
  const worker = async () => {
    for (const item of left) {
      if (Date.now() - shown > SHOW_MS) {
        show({ done, all: items.length });
        shown = Date.now();
      }
      try {
        await work(item);
      } catch (error) {
        refused.push({ item, refusal: refusalOf(error) });
      }
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
  show(undefined);
  return refused;
}

/**
 * Shows how far work on several is.
 * @param {{of: {done: number, all: number}, doing: string}} props `doing` is what is done: "Approving"
 */
export const Progress = ({ of: { done, all }, doing }) => html`
  <div class="working" role="status">
    <span>${doing} ${done + 1} of ${all}</span>
    <progress class="progress" max=${all} value=${done} aria-label=${doing}></progress>
  </div>
`;

/**
 * Shows what became of work on several.
 * @param {{done: string, refused: {name: string, what: string, employee: string, refusal: Refusal}[]}} props
 */
export const Outcome = ({ done, refused }) =>
  refused.length === 0
    ? html`<${Notice} kind="good">${done}<//>`
    : html`<${Notice} kind="warn">
        ${done} ${refused.length === 1 ? 'One was refused:' : `${refused.length} were refused:`}
        <ul class="refused">${refused.map(({ name, what, employee, refusal }) => html`<li key=${employee + what}><strong>${name}</strong>, ${what}: ${refusal.words}${refusal.days.length > 0 && html` – <${BlockedDays} days=${refusal.days} employee=${employee} />`}</li>`)}</ul>
      <//>`;

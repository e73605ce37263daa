// What waits for a decision or needs attention: the inbox lists it, and the header counts it.

import { get, getAll } from './api.js';

/** An event of the window: timesheets, leave or plans have changed. */
const NEWS = 'rollcall:news';
/** Events of the live feed after which other things may wait. */
const PASSED_ON = ['reset', 'timesheet', 'plan'];
/** An event of the window: it was counted how much waits. The detail is the number. */
export const COUNTED = 'rollcall:counted';

/** The least time between two counts of the header. After news it is `SOON_MS`. */
const MINUTE_MS = 60_000;
const SOON_MS = 5_000;

/** @typedef {ApiSchema<'AccountView'>} Account */
/** @typedef {ApiSchema<'ListedCorrectionView'>} Correction */
/** @typedef {ApiSchema<'LeaveView'>} Leave */
/** @typedef {ApiSchema<'NamedTimesheetView'>} Sheet */
/** @typedef {ApiSchema<'NoticeView'>} Notice */
/** @typedef {{corrections: Correction[], leave: Leave[], sheets: Sheet[], notices: Notice[]}} Waiting */

/** Notices of requests, which are listed and counted as such. */
const REQUESTS = new Set(['correction', 'timesheet']);

/**
 * Reads what waits for a decision of an account: not their own hours and leave, on which another person decides.
 * @param {Account} account
 * @returns {Promise<Waiting>}
 */
export async function readWaiting({ employee: own, permissions }) {
  const other = (/** @type {{employee: string}} */ { employee }) => permissions.includes('administer') || employee !== own;
  const [corrections, leave, sheets, notices] = await Promise.all([
    getAll('/api/corrections', { state: 'requested' }),
    getAll('/api/leave', { state: 'requested' }),
    getAll('/api/timesheets', { state: 'submitted' }), // of all periods
    get('/api/notices'),
  ]);
  return {
    corrections: corrections.filter(other),
    leave: leave.filter(other),
    sheets: sheets.filter(other).sort((a, b) => a.from.localeCompare(b.from)),
    notices: notices.items.filter(({ kind }) => !REQUESTS.has(kind)),
  };
}

/**
 * Says how much waits, so that the header shows it.
 * @param {Account} account
 * @param {Waiting} waiting
 */
export function announce({ id }, { corrections, leave, sheets, notices }) {
  const count = corrections.length + leave.length + sheets.length + notices.length;
  localStorage.setItem(keyOf(id), JSON.stringify({ at: Date.now(), count }));
  dispatchEvent(new CustomEvent(COUNTED, { detail: count }));
}

/**
 * Calls back with the number of what waits: now, at most once a minute in all windows of the browser, and after news.
 * @param {Account} account
 * @param {(count: number) => void} show
 */
export function watchWaiting(account, show) {
  addEventListener(COUNTED, (event) => show(/** @type {CustomEvent<number>} */ (event).detail));
  const known = recall(account.id);
  if (known) show(known.count);
  if (location.pathname === '/inbox') return; // the page itself counts
  let busy = false;
  const count = async (/** @type {number} */ after) => {
    const last = recall(account.id);
    if (last) show(last.count);
    if (busy || document.hidden || (last && Date.now() - last.at < after)) return;
    busy = true;
    try {
      announce(account, await readWaiting(account));
    } catch {
      // The page itself shows the error.
    } finally {
      busy = false;
    }
  };
  count(MINUTE_MS);
  setInterval(count, MINUTE_MS / 4, MINUTE_MS);
  addEventListener(NEWS, () => setTimeout(count, SOON_MS, SOON_MS));
  document.addEventListener('visibilitychange', () => count(MINUTE_MS));
}

/**
 * Counts again after events of a page's live feed, so that the header needs no feed of its own.
 * @param {EventSource} feed
 */
export function countAfter(feed) {
  for (const name of PASSED_ON) feed.addEventListener(name, () => dispatchEvent(new Event(NEWS)));
}

/** @param {string} account */
const keyOf = (account) => `rollcall:waiting:${account}`;

/**
 * @param {string} account
 * @returns {{at: number, count: number} | undefined}
 */
function recall(account) {
  try {
    return JSON.parse(localStorage.getItem(keyOf(account)) ?? '') ?? undefined;
  } catch {
    return undefined;
  }
}

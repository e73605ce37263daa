// What can be exported, and what the address says about it.

import { parameter } from '../kit/address.js';
import { addDays, addMonths, browserToday, monthOf } from '../kit/format.js';

/** What can be exported: the name, and what a row is. @type {Record<string, [name: string, rows: string]>} */
export const WHAT = {
  timesheets: ['Timesheets', 'One row for each person and period, with the sums of all figures'],
  days: ['Days', 'One row for each person and day, with all figures'],
  punches: ['Punches', 'One row for each punch, with what corrections made of it'],
  balances: ['Balances', 'One row for each person, with the balance at the start of the first date and at the end of the last one'],
  absences: ['Absences', 'One row for each day of leave, and each day on which nobody came for a shift'],
  payroll: ['Payroll', 'Hours by wage type, in the layout that your payroll program reads'],
};

/** @type {Record<string, string>} */
export const PERIODS = { this_month: 'This month', last_month: 'Last month', this_week: 'This week', own: 'Other dates' };

/** @type {Record<string, string>} */
export const FORMATS = { csv: 'CSV', xlsx: 'Excel (XLSX)', json: 'JSON' };

/** The most days of an export. */
const DAYS_MOST = 366;
const DAY_MS = 86_400_000;

/** @typedef {ReturnType<typeof choicesOf>} Choices */

/** Returns what the address says. A component that asks is drawn again when it changes. */
export function choicesOf() {
  const what = parameter('what') in WHAT ? parameter('what') : 'timesheets';
  const [from, to] = [parameter('from'), parameter('to')];
  const named = parameter('period', from && to ? 'own' : 'last_month');
  const period = named in PERIODS ? named : 'last_month';
  const format = parameter('format') in FORMATS ? parameter('format') : 'csv';
  return {
    what,
    period,
    ...(period === 'own' ? { from, to } : datesOf(period, browserToday())),
    site: parameter('site'),
    employee: parameter('employee'),
    format,
    approved: what === 'payroll' ? parameter('only') !== 'all' : parameter('only') === 'approved',
    separator: parameter('separator', 'comma'),
    bom: parameter('bom') === 'true',
    hours: parameter('hours', 'decimal'),
    layout: parameter('layout'),
  };
}

/**
 * Returns the first and the last date of a named period.
 * @param {string} period
 * @param {string} today
 */
function datesOf(period, today) {
  if (period === 'this_month') return monthOf(today);
  if (period === 'last_month') return monthOf(addMonths(today, -1));
  const monday = addDays(today, -((new Date(`${today}T00:00:00Z`).getUTCDay() + 6) % 7));
  return { from: monday, to: addDays(monday, 6) };
}

/** Returns why nothing can be exported with these choices, or nothing. @param {Choices} choices */
export function missing({ what, from, to, layout }) {
  if (!from || !to) return 'Choose the first and the last date.';
  if (to < from) return 'The last date is before the first one.';
  if ((Date.parse(to) - Date.parse(from)) / DAY_MS >= DAYS_MOST) return `An export has at most ${DAYS_MOST} days.`;
  if (what === 'payroll' && !layout) return 'Choose a layout.';
  return '';
}

/** Returns the address of the file. @param {Choices} choices */
export const fileAddress = (choices) => addressOf(choices, choices.what === 'payroll' ? 'text' : choices.format);

/**
 * Returns the address of an export in a format: `csv`, `xlsx` or `json`, for payroll `text` or `json`.
 * @param {Choices} choices
 * @param {string} format
 */
export function addressOf({ what, from, to, site, employee, approved, separator, bom, hours, layout }, format) {
  const query = new URLSearchParams({ from, to });
  if (site) query.set('site', site);
  if (employee) query.set('employee', employee);
  if (what === 'payroll') {
    query.set('layout', layout);
    if (!approved) query.set('only', 'all');
    if (format === 'json') query.set('format', format);
    return `/api/exports/payroll?${query}`;
  }
  if (approved && canBeApproved(what)) query.set('only', 'approved');
  query.set('format', format);
  if (format === 'csv') {
    if (separator === 'semicolon') query.set('separator', separator);
    if (bom) query.set('bom', 'true');
    if (hours === 'clock') query.set('hours', hours);
  }
  return `/api/exports/${what}?${query}`;
}

/** Whether only approved figures can be exported: punches and balances are never approved. @param {string} what */
export const canBeApproved = (what) => what !== 'punches' && what !== 'balances';

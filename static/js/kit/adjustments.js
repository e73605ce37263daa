// Adjustments in words: what changed of locked days and weeks since they were approved.

import { sentence } from '../ui/form.js';
import { shortDay, signedHours } from './format.js';
import { FIGURES } from './words.js';

/** @typedef {ApiSchema<'AdjustmentView'>} Adjustment */

/** What opening an approved or locked timesheet again does. */
export const REOPENING =
  'The approval is withdrawn, and the hours are counted as they are now. If they are locked again with other figures, adjustments that were paid already are given back in the next open period. This is written to the audit trail.';

/** "Week from Mon, Mar 2", or "Mon, Mar 2". @param {Adjustment} adjustment */
export const adjusted = ({ day, week }) => (day ? shortDay(day) : `Week from ${shortDay(week ?? '')}`);

/** "worked −1:00, overtime −0:30, leave (vacation) +8:00". @param {Adjustment} adjustment */
export function differences({ bands, leave_by_kind: kinds = {}, day: _day, week: _week, held: _held, settled: _settled, ...figures }) {
  const leave = Object.fromEntries(Object.entries(kinds).map(([kind, length]) => [`leave (${kind})`, length]));
  const named = Object.entries({ ...figures, ...bands, ...leave }).map(([name, length]) => `${(FIGURES[name] ?? sentence(name)).toLowerCase()} ${signedHours(length ?? 0)}`);
  return named.join(', ') || 'other times, the same hours';
}

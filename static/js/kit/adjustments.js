// Adjustments in words: what changed of locked days and weeks since they were approved.

import { sentence } from '../ui/form.js';
import { shortDay, signedHours } from './format.js';
import { FIGURES } from './words.js';

/** @typedef {ApiSchema<'AdjustmentView'>} Adjustment */

/** "Week from Mon, Mar 2", or "Mon, Mar 2". @param {Adjustment} adjustment */
export const adjusted = ({ day, week }) => (day ? shortDay(day) : `Week from ${shortDay(week ?? '')}`);

/** "worked −1:00, overtime −0:30". @param {Adjustment} adjustment */
export function differences({ bands, day: _day, week: _week, held: _held, settled: _settled, ...figures }) {
  const named = Object.entries({ ...figures, ...bands }).map(([name, length]) => `${(FIGURES[name] ?? sentence(name)).toLowerCase()} ${signedHours(length ?? 0)}`);
  return named.join(', ') || 'other times, the same hours';
}

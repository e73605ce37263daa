// The rules of a site: as the API has them, as a form has them, and in words.

import { hours } from '../kit/format.js';
import { hoursLength, minutesLength, secondsOf, typedHours, typedMinutes } from '../kit/lengths.js';
import { lengthWords, rangeWords } from './words.js';

/**
 * @typedef {{of: string, to: string, mode: string}} Rounding
 * @typedef {{mode: string, steps: {after: string, total: string}[], piece?: string}} BreakRule
 * @typedef {{name: string, from: string, to: string, days?: string[]}} Band
 */

/**
 * How punches count: lengths are texts such as "5m".
 * @typedef {object} Rules
 * @property {string} cut_off
 * @property {string} reach
 * @property {string} longest
 * @property {string} longest_unplanned
 * @property {string} grace_late
 * @property {string} grace_early
 * @property {boolean} clip
 * @property {Rounding | null} rounding
 * @property {BreakRule | null} breaks
 * @property {{up_to: string, total?: string | null} | null} paid_breaks
 * @property {string} overtime_day
 * @property {string | null} overtime_week
 * @property {string} overtime_min
 * @property {Band[]} bands
 * @property {string} week_starts
 * @property {string | null} max_day
 * @property {string | null} min_rest
 */

/** What a site without rules has; the workday begins when the site says. @param {string} starts @returns {Rules} */
export const usualRules = (starts) => ({
  cut_off: starts,
  reach: '4h',
  longest: '16h',
  longest_unplanned: '13h',
  grace_late: '0s',
  grace_early: '0s',
  clip: false,
  rounding: null,
  breaks: null,
  paid_breaks: null,
  overtime_day: 'plan',
  overtime_week: null,
  overtime_min: '0s',
  bands: [],
  week_starts: 'mon',
  max_day: null,
  min_rest: null,
});

/** The presets of the service for people. @type {Record<string, string>} */
export const PRESETS = { default: 'For no country in particular', germany: 'Germany', eu: 'European Union', usa: 'United States', california: 'California' };

/** @type {[string, string][]} */
export const PERIODS = [
  ['week', 'A week'],
  ['two_weeks', 'Two weeks'],
  ['half_month', 'Half a month: the 1st to the 15th, and the rest'],
  ['month', 'A month'],
];

/** @type {[string, string][]} */
export const WEEKDAYS = [
  ['mon', 'Monday'],
  ['tue', 'Tuesday'],
  ['wed', 'Wednesday'],
  ['thu', 'Thursday'],
  ['fri', 'Friday'],
  ['sat', 'Saturday'],
  ['sun', 'Sunday'],
];

/** @type {[string, string][]} */
export const BAND_DAYS = [...WEEKDAYS, ['holiday', 'Holidays']];

/** What a new step asks for. */
const STEP = { after: '6:00', total: '30' };

/** What a form begins with when a rule is switched on. */
const OFFERS = { steps: [STEP], piece: '15', up_to: '20', fixed: '8:00', to: '15m', mode: 'nearest' };

/** Returns what a form shows. @param {Rules} rules */
export function draftOf(rules) {
  const { breaks, paid_breaks: paid, rounding, overtime_day: day } = rules;
  return {
    cut_off: rules.cut_off,
    week_starts: rules.week_starts,
    grace_late: typedMinutes(rules.grace_late),
    grace_early: typedMinutes(rules.grace_early),
    clip: rules.clip,
    rounding_of: rounding?.of ?? 'none',
    rounding_to: rounding?.to ?? OFFERS.to,
    rounding_mode: rounding?.mode ?? OFFERS.mode,
    breaks_mode: breaks?.mode ?? 'none',
    steps: breaks?.steps.map(({ after, total }) => ({ after: typedHours(after), total: typedMinutes(total) })) ?? OFFERS.steps,
    piece: typedMinutes(breaks?.piece) || OFFERS.piece,
    pays: paid ? 'short' : 'none',
    up_to: typedMinutes(paid?.up_to) || OFFERS.up_to,
    paid_total: typedMinutes(paid?.total),
    overtime_day: day === 'plan' || day === 'none' ? day : 'fixed',
    overtime_fixed: day === 'plan' || day === 'none' ? OFFERS.fixed : typedHours(day),
    overtime_week: typedHours(rules.overtime_week),
    overtime_min: typedMinutes(rules.overtime_min),
    bands: rules.bands.map(({ name, from, to, days = [] }) => ({ name, from, to: to.replace('24:00', '00:00'), days })),
    max_day: typedHours(rules.max_day),
    min_rest: typedHours(rules.min_rest),
    reach: typedHours(rules.reach),
    longest: typedHours(rules.longest),
    longest_unplanned: typedHours(rules.longest_unplanned),
  };
}

/** @typedef {ReturnType<typeof draftOf>} RulesDraft what was typed */

/** Returns the rules that were typed. @param {RulesDraft} draft @returns {Rules} */
export function rulesOf(draft) {
  const optional = (/** @type {string} */ typed) => (typed.trim() ? hoursLength(typed) : null);
  const minutes = (/** @type {string} */ typed) => minutesLength(typed.trim() || '0');
  return {
    cut_off: draft.cut_off,
    week_starts: draft.week_starts,
    grace_late: minutes(draft.grace_late),
    grace_early: minutes(draft.grace_early),
    clip: draft.clip,
    rounding: draft.rounding_of === 'none' ? null : { of: draft.rounding_of, to: draft.rounding_to, mode: draft.rounding_mode },
    breaks: draft.breaks_mode === 'none' ? null : { mode: draft.breaks_mode, steps: draft.steps.map(({ after, total }) => ({ after: hoursLength(after), total: minutesLength(total) })), piece: minutes(draft.piece) },
    paid_breaks: draft.pays === 'none' ? null : { up_to: minutes(draft.up_to), total: draft.paid_total.trim() ? minutesLength(draft.paid_total) : null },
    overtime_day: draft.overtime_day === 'fixed' ? hoursLength(draft.overtime_fixed) : draft.overtime_day,
    overtime_week: optional(draft.overtime_week),
    overtime_min: minutes(draft.overtime_min),
    bands: draft.bands.map(({ name, from, to, days }) => ({ name: name.trim(), from, to, days })),
    max_day: optional(draft.max_day),
    min_rest: optional(draft.min_rest),
    reach: hoursLength(draft.reach),
    longest: hoursLength(draft.longest),
    longest_unplanned: hoursLength(draft.longest_unplanned),
  };
}

/** "30 minutes", "7:30 h" @param {string | null | undefined} length */
const words = (length) => lengthWords(secondsOf(length));

/** @param {string} grace @param {string} what */
const graceWords = (grace, what) => (secondsOf(grace) === 0 ? `Every minute ${what} is reported.` : `Up to ${words(grace)} ${what} is forgiven. Beyond that, all of it counts.`);

/** @param {Rounding} rounding */
function roundingWords({ of, to, mode }) {
  const what = of === 'punch' ? 'The first in and the last out of a day are' : 'The worked time of a day is';
  return `${what} rounded ${mode === 'nearest' ? 'to the nearest' : 'in favor of the employee to'} ${words(to)}.`;
}

/** @param {BreakRule} rule */
function breakWords({ mode, steps, piece }) {
  const asked = steps.map(({ after, total }) => `${words(total)} after more than ${words(after)} of work`).join(', ');
  if (mode === 'deduct') return `Breaks: ${asked}. What is missing of that is deducted.`;
  return `Breaks: ${asked}, in parts of at least ${words(piece)}. A break that is too short is reported.`;
}

/** @param {Band} band */
function bandWords({ name, from, to, days = [] }) {
  const known = new Map(BAND_DAYS);
  const when = days.length > 0 ? `, ${days.map((day) => (day === 'holiday' ? 'holidays' : (known.get(day) ?? day))).join(', ')}` : '';
  const whole = from === '00:00' && (to === '24:00' || to === '00:00');
  return `${name} (${whole ? 'all day' : rangeWords({ from, to })}${when})`;
}

/**
 * Says what rules mean, a sentence for each. With `brief`, leaves out what most sites never change and what is not asked for.
 * @param {Rules} rules
 * @param {{brief?: boolean}} [how]
 */
export function ruleWords(rules, { brief = false } = {}) {
  const day = rules.overtime_day;
  /** @type {(string | false)[]} */
  const sentences = [
    !brief && `A workday of people without a shift begins at ${rules.cut_off}.`,
    graceWords(rules.grace_late, 'late'),
    graceWords(rules.grace_early, 'early'),
    rules.clip ? 'Time before the shift does not count.' : !brief && 'Time before the shift counts.',
    rules.rounding ? roundingWords(rules.rounding) : !brief && 'Nothing is rounded.',
    rules.breaks ? breakWords(rules.breaks) : !brief && 'No break is asked for.',
    rules.paid_breaks ? `Breaks of at most ${words(rules.paid_breaks.up_to)} are paid${rules.paid_breaks.total ? `, up to ${words(rules.paid_breaks.total)} a day` : ''}.` : !brief && 'Breaks are not paid.',
    day === 'plan' ? 'Work beyond what is planned is overtime.' : day === 'none' ? 'A single day has no overtime.' : `Work beyond ${words(day)} a day is overtime.`,
    rules.overtime_week ? `Work beyond ${hours(secondsOf(rules.overtime_week))} h a week is overtime.` : !brief && 'A week has no overtime of its own.',
    secondsOf(rules.overtime_min) > 0 && `Less than ${words(rules.overtime_min)} of overtime a day does not count.`,
    rules.bands.length > 0 ? `Counted apart: ${rules.bands.map(bandWords).join('; ')}.` : !brief && 'No hours are counted apart.',
    rules.max_day ? `More than ${words(rules.max_day)} of work a day is reported.` : !brief && 'A long day is not reported.',
    rules.min_rest ? `Less than ${words(rules.min_rest)} of rest between workdays is reported.` : !brief && 'A short rest is not reported.',
    (!brief || rules.week_starts !== 'mon') && `Weeks begin on ${new Map(WEEKDAYS).get(rules.week_starts)}.`,
    !brief && `A punch can belong to a shift from ${words(rules.reach)} before it to ${words(rules.reach)} after it. An out comes at most ${words(rules.longest)} after the in, without a shift ${words(rules.longest_unplanned)}.`,
  ];
  return sentences.filter((sentence) => sentence !== false);
}

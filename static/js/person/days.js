// The table of a month: a row for each day, sums of weeks and of the month. On paper it is what is signed.

import { setParameters } from '../kit/address.js';
import { Badge, Link } from '../kit/basics.js';
import { Clock } from '../kit/clock.js';
import { Exceptions } from '../kit/exceptions.js';
import { addDays, hours, hoursOrNothing, shortDay, signedHours } from '../kit/format.js';
import { Fragment, html } from '../kit/html.js';
import { sentence } from '../ui/form.js';
import { correctionsOf, planWords, touching } from './record.js';

/** @typedef {import('./record.js').Day} Day */
/** @typedef {import('./record.js').Days} Days */
/** @typedef {import('./record.js').Month} Month */
/** @typedef {ApiSchema<'WeekView'>} Week */

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(day: Day) => unknown} cell
 * @property {(days: Day[], more: number) => unknown} sum `more` is the overtime of weeks
 * @property {boolean} [wide] left out on a small screen
 */

/** @param {Day[]} days @param {(day: Day) => number} figure */
const total = (days, figure) => days.reduce((sum, day) => sum + figure(day), 0);

/** @param {string} title @param {(day: Day) => number} figure @param {boolean} [wide] @returns {Column} */
const amount = (title, figure, wide = true) => ({ title, cell: (day) => hoursOrNothing(figure(day)), sum: (days) => hoursOrNothing(total(days, figure)), wide });

/**
 * The columns of figures.
 * @param {Month} month
 * @returns {Column[]}
 */
function columns({ days, today }) {
  const over = (/** @type {Day} */ { day }) => day < today;
  const balance = (/** @type {Day} */ day) => (over(day) ? day.balance : 0);
  const bands = Object.keys(days.totals.bands).filter((name) => days.totals.bands[name]);
  return [
    amount('Breaks', (day) => day.breaks + day.auto_break),
    amount('Worked', (day) => day.worked, false),
    amount('Planned', (day) => day.planned),
    amount('Due', (day) => day.due),
    { title: 'Balance', cell: (day) => (over(day) && (day.worked || day.due) ? signedHours(balance(day)) : ''), sum: (all) => signedHours(total(all, balance)), wide: true },
    { ...amount('Overtime', (day) => day.overtime), sum: (all, more) => hoursOrNothing(total(all, (day) => day.overtime) + more) },
    ...bands.map((name) => amount(sentence(name), (day) => day.bands[name] ?? 0)),
  ];
}

/** @param {{month: Month}} props */
export function DaysTable({ month }) {
  const { days, today } = month;
  const figures = columns(month);
  const waiting = correctionsOf(month.sheets).filter(({ state }) => state === 'requested');
  const planned = days.days.some((day) => day.planned > 0);
  return html`
    <section class="card" aria-label="Days">
      <div class="table-frame" role="region" aria-label="Days of the month" tabindex="0">
        <table class="table month">
          <caption class="visually-hidden">Days of the month</caption>
          <thead>
            <tr>
              <th scope="col">Date</th>
              <th scope="col" class="wide-only">Shift</th>
              <th scope="col">In – out</th>
              ${figures.map(({ title, wide }) => html`<th key=${title} scope="col" class=${`number ${wide ? 'wide-only' : ''}`}>${title}</th>`)}
              <th scope="col">Exceptions</th>
            </tr>
          </thead>
          ${weeksOf(days).map(
            ({ week, shown }) => html`
              <tbody key=${week.starts}>
                ${shown.map((day) => html`<${Row} key=${day.day} day=${day} figures=${figures} today=${today} rests=${planned} waits=${touching(day, waiting).length} />`)}
                <${WeekRow} week=${week} shown=${shown} figures=${figures} days=${days} />
              </tbody>
            `,
          )}
          <tfoot><${Totals} days=${days} figures=${figures} today=${today} /></tfoot>
        </table>
      </div>
    </section>
  `;
}

/**
 * The weeks with those of their days that are shown.
 * @param {Days} days
 * @returns {{week: Week, shown: Day[]}[]}
 */
function weeksOf({ days, weeks }) {
  const in_ = (/** @type {Week} */ week) => days.filter(({ day }) => week.starts <= day && day <= week.ends);
  return weeks.map((week) => ({ week, shown: in_(week) })).filter(({ shown }) => shown.length > 0);
}

/** @param {{day: Day, figures: Column[], today: string, rests: boolean, waits: number}} props */
function Row({ day, figures, today, rests, waits }) {
  const plan = planWords(day);
  const quiet = day.day > today || (day.spans.length === 0 && day.exceptions.length === 0);
  const tone = day.blocked ? 'bad' : quiet ? 'soft' : undefined;
  return html`
    <tr data-day=${day.day} data-tone=${tone} onClick=${(/** @type {MouseEvent} */ event) => event.defaultPrevented || setParameters({ day: day.day })}>
      <th scope="row"><${Link} to=${{ day: day.day }} class="day-link"><${ShortDate} day=${day.day} /><//></th>
      <td class="wide-only">${plan.join(', ') || (rests && day.spans.length === 0 && 'Rest day')}</td>
      <td class="spans"><${Spans} day=${day} /></td>
      ${figures.map(({ title, cell, wide }) => html`<td key=${title} class=${`number ${wide ? 'wide-only' : ''}`}>${cell(day)}</td>`)}
      <td class="exceptions"><${Exceptions} codes=${day.exceptions} />${waits > 0 && html` <${Badge} tone="warn" title="A correction waits for a decision">${waits} waiting<//>`}</td>
    </tr>
  `;
}

/** "Mon, Mar 2"; on a small screen without the month. @param {{day: string}} props */
function ShortDate({ day }) {
  const [weekday, month, date] = shortDay(day).split(' ');
  return html`${weekday} <span class="wide-only">${month}${' '}</span>${date}`;
}

/** @param {{day: Day}} props */
const Spans = ({ day }) =>
  html`${day.spans.map((span) => html`<span key=${span.in} class="span"><${Clock} at=${span.in} day=${day.day} />–${span.out ? html`<${Clock} at=${span.out} day=${day.day} />` : '…'}</span> `)}`;

/** The sums of those days of a week that are shown. @param {{week: Week, shown: Day[], figures: Column[], days: Days}} props */
function WeekRow({ week, shown, figures, days }) {
  const dates = [...new Set([shown[0], shown.at(-1)].map((day) => Number(day?.day.slice(8))))];
  const cut = week.starts < days.from || week.ends > days.to;
  // Overtime of a week counts in the month in which the week ends.
  const more = week.ends <= days.to ? week.overtime : 0;
  return html`
    <tr class="week">
      <th scope="row">${dates.length > 1 ? 'Days' : 'Day'} ${dates.join('–')}</th>
      <td class="wide-only"></td>
      <td class="spans">${cut && week.worked > 0 && html`<span class="row-note">whole week ${hours(week.worked)}</span>`}</td>
      <${Sums} figures=${figures} days=${shown} more=${more} />
      <td></td>
    </tr>
  `;
}

/** @param {{days: Days, figures: Column[], today: string}} props */
function Totals({ days, figures, today }) {
  const { running_balance: running } = days;
  return html`
    <tr>
      <th scope="row">Month${days.to >= today && html` <span class="row-note">balance so far</span>`}</th>
      <td class="wide-only"></td>
      <td></td>
      <${Sums} figures=${figures} days=${days.days} more=${days.totals.week_overtime} />
      <td></td>
    </tr>
    ${
      running &&
      html`<tr class="running">
        <th scope="row">Balance</th>
        <td colspan=${figures.length + 3}>Running: ${signedHours(running.start)} at the start, ${signedHours(running.end)} ${days.to >= today ? 'so far' : 'at the end'}</td>
      </tr>`
    }
  `;
}

/** @param {{figures: Column[], days: Day[], more: number}} props */
const Sums = ({ figures, days, more }) =>
  html`<${Fragment}>${figures.map(({ title, sum, wide }) => html`<td key=${title} class=${`number ${wide ? 'wide-only' : ''}`}>${sum(days, more)}</td>`)}<//>`;

/** Returns the dates beside a day, as far as the month has them. @param {Days} days @param {string} day */
export const beside = ({ from, to }, day) => ({ before: day > from ? addDays(day, -1) : '', after: day < to ? addDays(day, 1) : '' });

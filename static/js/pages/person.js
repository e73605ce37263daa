// The month of a person: their hours with what explains and corrects them, their leave, and their timesheet.

import { parameter, setParameters } from '../kit/address.js';
import { Empty, Link, Notice, PageHead } from '../kit/basics.js';
import { ZonesNote } from '../kit/clock.js';
import { LiveState, useFeed } from '../kit/feed.js';
import { addMonths, browserToday, monthName, monthOf } from '../kit/format.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { DaySheet } from '../person/day.js';
import { DaysTable } from '../person/days.js';
import { LeaveCard } from '../person/leave.js';
import { readMonth, readPerson } from '../person/record.js';
import { Timesheets } from '../person/timesheet.js';
import { abilities, currentAccount } from '../session.js';

/** @typedef {import('../person/record.js').Account} Account */
/** @typedef {import('../person/record.js').Month} Month */

/** What changes a month. */
const NEWS = ['punch', 'timesheet', 'plan', 'employee', 'site'];
const MONTH = /^\d{4}-(?:0[1-9]|1[0-2])(?:-\d{2})?$/u;

export function Page() {
  const account = useLoad(currentAccount, []);
  return html`<${Show} of=${account}>${(/** @type {Account} */ known) => html`<${Whose} account=${known} />`}<//>`;
}

/** @param {{account: Account}} props */
function Whose({ account }) {
  const id = parameter('id') || account.employee;
  const wanted = parameter('month', browserToday());
  if (!id) return html`<${PageHead} title="Hours" /><section class="card"><${Empty}><p>Choose a person on the page <a href="/people">People</a> or <a href="/">Today</a>.</p><//></section>`;
  if (!MONTH.test(wanted)) return html`<${PageHead} title="Hours" /><${Notice} kind="bad">“${wanted}” in the address is not a month, such as 2026-03.<//>`;
  return html`<${Hours} key=${id} account=${account} id=${id} date=${monthOf(`${wanted.slice(0, 7)}-01`).from} />`;
}

/** @param {{account: Account, id: string, date: string}} props `date` is the first of the month */
function Hours({ account, id, date }) {
  const person = useLoad(() => readPerson(account, id), [id]);
  const month = useLoad(() => readMonth(id, date), [id, date]);
  const reload = () => Promise.all([person.reload(), month.reload()]);
  const feed = useFeed(NEWS, reload);
  const known = person.data?.person;
  const { survey } = abilities(account);
  const lead = known && html`<p>${[known.code, known.site_name].join(' · ')}${survey && html`<span class="no-print"> · <a href=${`/people#${id}`}>Edit this person</a></span>`}</p>`;
  return html`
    <${PageHead} title=${known?.name ?? 'Hours'} lead=${lead} actions=${html`<button class="button" type="button" onClick=${() => window.print()}>Print</button><${LiveState} state=${feed} />`} />
    <p class="print-only period">${monthName(date)}</p>
    <${Months} date=${date} />
    <${Show} of=${person}>
      ${(/** @type {Awaited<ReturnType<typeof readPerson>>} */ { rights }) => html`<${Show} of=${month}>${(/** @type {Month} */ shown) => html`<${Shown} employee=${id} month=${shown} rights=${rights} reload=${reload} />`}<//>`}
    <//>
  `;
}

/** @param {{date: string}} props */
function Months({ date }) {
  const go = (/** @type {string} */ to) => ({ month: to, day: '' });
  const now = monthOf(browserToday()).from;
  const choose = (/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget: { value } }) => value && setParameters(go(value));
  return html`
    <div class="toolbar" role="group" aria-label="Month">
      <${Link} class="button" to=${go(addMonths(date, -1))} aria-label="The month before">‹<//>
      <h2 class="month-name">${monthName(date)}</h2>
      <${Link} class="button" to=${go(addMonths(date, 1))} aria-label="The month after">›<//>
      ${date !== now && html`<${Link} class="button" to=${go(now)}>This month<//>`}
      <input class="input narrow" type="month" aria-label="Month" value=${date.slice(0, 7)} onChange=${choose} />
    </div>
  `;
}

/** @param {{employee: string, month: Month, rights: import('../person/record.js').Rights, reload: () => Promise<unknown>}} props */
function Shown({ employee, month, rights, reload }) {
  const opened = parameter('day');
  const day = month.days.days.find((one) => one.day === opened);
  return html`
    <${ZonesNote} zones=${month.days.days.map(({ zone }) => zone)} />
    <${Timesheets} month=${month} rights=${rights} reload=${reload} />
    <${DaysTable} month=${month} />
    <div class="print-only signatures"><p>Date, signature of the employee</p><p>Date, signature of the manager</p></div>
    <${LeaveCard} employee=${employee} month=${month} rights=${rights} reload=${reload} />
    ${day && html`<${DaySheet} employee=${employee} day=${day} month=${month} rights=${rights} reload=${reload} />`}
  `;
}

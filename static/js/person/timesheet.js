// The timesheets of a month: their state, what prevents an approval, and what changed after a lock.

import { Problem, post, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { REOPENING, adjusted, differences } from '../kit/adjustments.js';
import { Badge, Button, Link, Notice } from '../kit/basics.js';
import { dateRange, shortDay } from '../kit/format.js';
import { html } from '../kit/html.js';
import { EXCEPTIONS, PROGRESS } from '../kit/words.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { dateTime } from '../ui/time.js';

/** @typedef {import('./record.js').Month} Month */
/** @typedef {import('./record.js').Rights} Rights */
/** @typedef {import('./record.js').Sheet} Sheet */
/** @typedef {ApiSchema<'AdjustmentView'>} Adjustment */

const UNLOCK = {
  title: 'Open this timesheet again?',
  text: REOPENING,
  action: 'Open again',
};

/** @param {{month: Month, rights: Rights, reload: () => Promise<unknown>}} props */
export const Timesheets = ({ month, rights, reload }) => html`
  <section class="card pad timesheets" aria-labelledby="timesheet-title">
    <h2 id="timesheet-title">${month.sheets.length > 1 ? 'Timesheets' : 'Timesheet'}</h2>
    ${month.sheets.map((sheet) => html`<${Timesheet} key=${sheet.timesheet.id} sheet=${sheet} month=${month} rights=${rights} reload=${reload} />`)}
  </section>
`;

/** @param {{sheet: Sheet, month: Month, rights: Rights, reload: () => Promise<unknown>}} props */
function Timesheet({ sheet, month: { today, sheets }, rights, reload }) {
  const { act, trouble } = useActions(reload);
  const { timesheet, blocked, figures, digest } = sheet;
  const { id, state, from, to, approval, requested_corrections: waiting } = timesheet;
  const [words, tone] = PROGRESS[state] ?? [state, ''];
  const closed = state === 'approved' || state === 'locked';
  const over = to < today;
  // Until the period is over, a day without an exception is one on which the employee is still at work.
  const unsettled = blocked.filter(({ exceptions }) => over || exceptions.length > 0);
  const label = (/** @type {string} */ verb) => (sheets.length > 1 ? `${verb}: ${dateRange(from, to)}` : undefined);
  const send = (/** @type {'submit' | 'lock' | 'unlock'} */ verb) => () => request('POST', `/api/timesheets/${id}/${verb}`);
  const approve = (/** @type {boolean | undefined} */ overtime) => async () => {
    try {
      await post(`/api/timesheets/${id}/approve`, { digest, overtime });
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'figures_changed') throw error;
      throw new Problem(409, { detail: 'the hours have changed since they were shown: look at them as they are now, then approve them' }, null);
    }
  };
  return html`
    <div class="timesheet" data-timesheet=${id}>
      <div class="section-head">
        <p>${dateRange(from, to)} <${Badge} tone=${tone}>${words}<//>${approval && html` <span class="soft small">Approved on ${dateTime(approval.at, figures.days[0]?.zone)}</span>`}</p>
        <div class="actions">
          ${state === 'open' && rights.asks && html`<${Button} label=${label('Submit')} onClick=${act(send('submit'), 'Submitted')}>Submit<//>`}
          ${
            !closed &&
            rights.decides &&
            over &&
            approvals(sheet.asks_for_overtime).map(
              ([verb, overtime, primary]) => html`<${Button} key=${verb} tone=${primary && 'primary'} label=${label(verb)} disabled=${blocked.length > 0} onClick=${act(approve(overtime), 'Approved')}>${verb}<//>`,
            )
          }
          ${state === 'approved' && rights.decides && html`<${Button} tone="primary" label=${label('Lock')} onClick=${act(send('lock'), 'Locked')}>Lock<//>`}
          ${closed && rights.administers && html`<${Button} label=${label('Open again')} onClick=${act(async () => (await ask(UNLOCK)) && send('unlock')(), 'Open again')}>Open again<//>`}
        </div>
      </div>
      ${trouble}
      ${!closed && rights.decides && !over && html`<p class="soft small no-print">It can be approved when its last day is over.</p>`}
      ${state === 'open' && rights.own && !rights.decides && html`<p class="soft small no-print">Submit it when the month is complete. A manager then approves it.</p>`}
      ${state === 'approved' && html`<p class="soft small no-print">A correction opens it again until it is locked.</p>`}
      ${waiting > 0 && html`<${Notice} kind="warn">${plural(waiting, 'correction waits', 'corrections wait')} for a decision. Open the day to see it.<//>`}
      ${!closed && unsettled.length > 0 && html`<${Blocked} days=${unsettled} />`}
      ${figures.adjustments.length > 0 && html`<${Adjustments} title="Adjustments" about="What changed after the lock. It is paid with the first timesheet that is approved after it." items=${figures.adjustments} />`}
      ${sheet.settles.length > 0 && html`<${Adjustments} title="Paid with this timesheet" about="What changed of earlier, locked days." items=${sheet.settles} />`}
    </div>
  `;
}

/** The ways to approve: where the site asks, with and without the overtime. @param {boolean} asksForOvertime @returns {[verb: string, overtime: boolean | undefined, primary: boolean][]} */
const approvals = (asksForOvertime) =>
  asksForOvertime
    ? [
        ['Approve with overtime', true, true],
        ['Approve without overtime', false, false],
      ]
    : [['Approve', undefined, true]];

/** The days that prevent an approval. @param {{days: Sheet['blocked']}} props */
const Blocked = ({ days }) => html`
  <${Notice} kind="warn">
    <p>${plural(days.length, 'day must', 'days must')} be settled before the hours can be approved:</p>
    <ul>
      ${days.map(({ day, exceptions }) => html`<li key=${day}><${Link} to=${{ day }}>${shortDay(day)}<//>: ${exceptions.length > 0 ? exceptions.map((code) => EXCEPTIONS[code] ?? code).join('; ') : 'still at work'}</li>`)}
    </ul>
  <//>
`;

/** What changed of locked days since they were approved. @param {{title: string, about: string, items: Adjustment[]}} props */
const Adjustments = ({ title, about, items }) => html`
  <div class="adjustments">
    <h3>${title}</h3>
    <p class="soft small">${about}</p>
    <ul>
      ${items.map(
        (item) => html`<li key=${item.day ?? item.week}>
          ${item.day ? html`<${Link} to=${{ day: item.day }}>${adjusted(item)}<//>` : adjusted(item)}:
          ${' '}${differences(item)}${item.held && html` <${Badge} tone="warn" title="It counts when the exception of the day is settled">Held<//>`}${item.settled && html` <${Badge} tone="in" title="It was paid with an approved timesheet">Paid<//>`}
        </li>`,
      )}
    </ul>
  </div>
`;

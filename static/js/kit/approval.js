// The review of timesheets before their approval: their figures, and the days that must be settled first.

import { get, post } from '../api.js';
import { plural } from '../ui/dom.js';
import { adjusted, differences } from './adjustments.js';
import { Badge, Button, Notice } from './basics.js';
import { BlockedDays, Progress, RefusalNotice, monthAddress, refusalOf, workThrough } from './decisions.js';
import { Dialog } from './dialog.js';
import { Choice } from './form.js';
import { hours, periodName, signedHours } from './format.js';
import { html, useEffect, useMemo, useRef, useState } from './html.js';
import { SHORT_EXCEPTIONS } from './words.js';

/** @typedef {ApiSchema<'NamedTimesheetView'>} Sheet */
/** @typedef {ApiSchema<'TimesheetDetailView'>} Detail */
/** @typedef {import('./decisions.js').Refusal} Refusal */
/** @typedef {{detail?: Detail, refusal?: Refusal, approved?: boolean}} Reviewed what is known of a timesheet under review */

/** How many timesheets are read at the same time. */
const TOGETHER = 4;
/** Work that has just begun: there is something to show from the first moment on. */
const begun = (/** @type {number} */ all) => ({ done: 0, all });
/** What nothing is known of yet. @type {Reviewed} */
const UNKNOWN = {};

/** What can be chosen for overtime. @type {[string, string, string][]} */
const OVERTIME = [
  ['yes', 'Approve the overtime, too', 'It is paid with the other hours.'],
  ['no', 'Approve without the overtime', 'It stays visible, and payroll files leave it out.'],
];

/** Whether a timesheet in this state can be approved. @param {string} state */
export const canApprove = (state) => state === 'open' || state === 'submitted';

/**
 * A dialog that shows the figures of timesheets, and approves those that can be approved with the digest of what it shows.
 * @param {{sheets: Sheet[], onClose: () => void, onApproved: () => unknown}} props
 */
export function ReviewDialog({ sheets, onClose, onApproved }) {
  const { current: known } = useRef(/** @type {Map<string, Reviewed>} */ (new Map()));
  const [reading, setReading] = useState(/** @type {{done: number, all: number} | undefined} */ (begun(sheets.length)));
  const [approving, setApproving] = useState(/** @type {{done: number, all: number} | undefined} */ (undefined));
  /** Whether the overtime is approved, too: empty until it is chosen. */
  const [overtime, setOvertime] = useState('');
  // What is noted is drawn with the progress.
  const note = (/** @type {string} */ id, /** @type {Reviewed} */ news) => known.set(id, { ...known.get(id), ...news });
  const read = async (/** @type {Sheet} */ { id }) => note(id, { detail: await get(`/api/timesheets/${id}`) });

  useEffect(() => {
    const noted = async (/** @type {Sheet} */ sheet) => read(sheet).catch((error) => note(sheet.id, { refusal: refusalOf(error) }));
    workThrough(sheets, noted, setReading, TOGETHER);
  }, []);

  const ready = sheets.filter(({ id }) => {
    const { detail, approved } = known.get(id) ?? {};
    return detail && !approved && canApprove(detail.timesheet.state) && detail.blocked.length === 0;
  });
  const approved = sheets.filter(({ id }) => known.get(id)?.approved).length;
  const refused = sheets.filter(({ id }) => known.get(id)?.refusal).length;
  const asks = ready.some(({ id }) => known.get(id)?.detail?.asks_for_overtime);

  const approve = async () => {
    await workThrough(
      ready,
      async (sheet) => {
        try {
          const { digest = '', asks_for_overtime: asked = false } = known.get(sheet.id)?.detail ?? {};
          await post(`/api/timesheets/${sheet.id}/approve`, { digest, overtime: asked ? overtime === 'yes' : undefined });
          note(sheet.id, { approved: true, refusal: undefined });
        } catch (error) {
          const refusal = refusalOf(error);
          // Shows the present figures, so that they can be looked at and approved.
          if (['figures_changed', 'days_blocked', 'timesheet_state'].includes(refusal.code)) await read(sheet).catch(() => {});
          note(sheet.id, { refusal: refusal.code === 'figures_changed' ? { ...refusal, words: 'The figures have changed meanwhile. These are the present ones: look at them, then approve again' } : refusal });
        }
      },
      setApproving,
    );
    await onApproved();
  };

  return html`
    <${Dialog} title=${sheets.length === 1 ? `Approve the hours of ${sheets[0]?.name}` : `Approve ${sheets.length} timesheets`} onClose=${onClose} sheet>
      <p class="soft">An approval covers exactly the figures that you see here.</p>
      ${reading && html`<${Progress} of=${reading} doing="Reading" />`}
      <ul class="review">${sheets.map((sheet) => html`<${Line} key=${sheet.id} sheet=${sheet} reviewed=${known.get(sheet.id) ?? UNKNOWN} />`)}</ul>
      ${approving && html`<${Progress} of=${approving} doing="Approving" />`}
      <div aria-live="polite">
        ${!approving && approved > 0 && html`<${Notice} kind=${refused > 0 ? 'warn' : 'good'}>${plural(approved, 'timesheet')} approved.${refused > 0 && ` ${refused} refused: the reasons are above.`}<//>`}
        ${!reading && !approving && approved === 0 && ready.length === 0 && html`<${Notice} kind="warn">${sheets.length === 1 ? 'It cannot be approved' : 'None of them can be approved'} yet: see above.<//>`}
      </div>
      ${asks && !reading && html`<${Choice} name="overtime" label="The site asks whether overtime is approved" value=${overtime} options=${OVERTIME} choose=${setOvertime} />`}
      <div class="actions end">
        <button class="button" type="button" data-close>${approved > 0 ? 'Close' : 'Cancel'}</button>
        ${!reading && ready.length > 0 && html`<${Button} tone="primary" disabled=${asks && !overtime} onClick=${approve}>Approve ${sheets.length === 1 ? 'these figures' : plural(ready.length, 'timesheet')}<//>`}
      </div>
    <//>
  `;
}

/** What is odd about the days that do not block, "Absent: 2 days, Late: 1 day". @param {Detail} detail */
function oddities({ figures }) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const code of figures.days.flatMap(({ exceptions }) => exceptions)) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts].map(([code, count]) => `${SHORT_EXCEPTIONS[code] ?? code}: ${plural(count, 'day')}`).join(', ');
}

/** A timesheet under review. @param {{sheet: Sheet, reviewed: Reviewed}} props */
function Line({ sheet, reviewed }) {
  // A long list is drawn often: only what has changed is compared.
  return useMemo(() => lineOf(sheet, reviewed), [sheet, reviewed]);
}

/** @param {Sheet} sheet @param {Reviewed} reviewed */
function lineOf({ id, employee, name, from, to }, { detail, refusal, approved }) {
  const totals = detail?.figures.totals;
  const requested = detail?.timesheet.requested_corrections ?? 0;
  return html`
    <li data-sheet=${id}>
      <h3><a href=${monthAddress(employee, from)}>${name}</a> <span class="soft">${periodName(from, to)}</span> ${approved && html`<${Badge} tone="in">Approved<//>`}</h3>
      ${
        totals &&
        html`<dl class="facts">
          <div><dt>Worked</dt><dd>${hours(totals.worked)}</dd></div>
          <div><dt>Planned</dt><dd>${hours(totals.planned)}</dd></div>
          <div><dt>Overtime</dt><dd>${hours(totals.overtime + totals.week_overtime)}</dd></div>
          <div><dt>Balance</dt><dd>${signedHours(totals.balance)}</dd></div>
        </dl>`
      }
      ${detail && oddities(detail) && html`<p class="small">${oddities(detail)}</p>`}
      ${detail && detail.settles.length > 0 && html`<p class="small">Paid with it, because earlier days changed after their lock:</p><ul class="small">${detail.settles.map((one) => html`<li key=${adjusted(one)}>${adjusted(one)}: ${differences(one)}${one.held && ' (held until its exception is settled)'}</li>`)}</ul>`}
      ${detail && !canApprove(detail.timesheet.state) && !approved && html`<${Notice} kind="info">It is ${detail.timesheet.state} already.<//>`}
      ${detail && detail.blocked.length > 0 && html`<${Notice} kind="warn">Settle ${detail.blocked.length === 1 ? 'this day' : 'these days'} first: <${BlockedDays} days=${detail.blocked} employee=${employee} /><//>`}
      ${requested > 0 && !approved && html`<${Notice} kind="warn">${plural(requested, 'correction')} of it ${requested === 1 ? 'waits' : 'wait'} for a decision in the <a href="/inbox?kind=corrections">inbox</a>.<//>`}
      ${refusal && html`<${RefusalNotice} refusal=${refusal} employee=${employee} />`}
    </li>
  `;
}

// Corrections of punches: their forms, and what was decided about them.

import { Problem, post, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button } from '../kit/basics.js';
import { Field, Form } from '../kit/form.js';
import { addDays, shortDay, timesOf, wallClock, wallDate, wallTime } from '../kit/format.js';
import { html, useEffect, useRef, useState } from '../kit/html.js';
import { DECISIONS, KINDS } from '../kit/words.js';
import { ask } from '../ui/dialog.js';
import { dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {import('./record.js').Correction} Correction */
/** @typedef {import('./record.js').Day} Day */
/** @typedef {import('./record.js').Line} Line */
/** @typedef {import('./record.js').Rights} Rights */

const LONGEST_REASON = 500;
/** The kind of punch that settles an exception. @type {[exception: string, kind: string][]} */
const MISSING = [
  ['missing_out', 'out'],
  ['stray_out', 'in'],
  ['missing_break_end', 'break_end'],
];
const LOCKED = {
  title: 'This period is locked',
  text: 'The approved hours stay as they are. The difference can become an adjustment, which counts in the first period that is not locked.',
  action: 'Make an adjustment',
};

/**
 * Sends a change of punches. If it would change locked days, asks first whether it may become an adjustment; returns
 * `false` if it may not.
 * @template T
 * @param {(adjust: boolean) => Promise<T>} send
 * @returns {Promise<T | false>}
 */
export async function adjusting(send) {
  try {
    return await send(false);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'timesheet_locked') throw error;
    return (await ask(LOCKED)) && send(true);
  }
}

/** Says before a correction what becomes of it. @param {{rights: Rights}} props */
export const Outcome = ({ rights }) => {
  const { atOnce, decides, own } = rights;
  const words = atOnce
    ? 'A correction counts at once. The punch itself stays on record.'
    : decides
      ? 'Another person must approve a correction before it counts: this site wants it so.'
      : own
        ? 'A correction is a request. It counts when a manager has approved it.'
        : 'A correction is a request. It counts when it is approved.';
  return html`<p class="soft small">${words}</p>`;
};

/**
 * The form of a correction: adds a punch to a day, or moves or removes the punch of a line.
 * @param {{employee: string, day: Day, rights: Rights, action: 'add' | 'move' | 'void', line?: Line, done: () => Promise<unknown>, cancel: () => void}} props
 */
export function CorrectionForm({ employee, day, rights, action, line, done, cancel }) {
  const now = line ? wallTime(line.at, day.zone) : `${day.day}T`;
  const [typed, setTyped] = useState({ date: wallDate(now), time: line ? wallClock(now) : '' });
  const repeated = timesOf(`${typed.date}T${typed.time}`, day.zone);
  const follow = (/** @type {'date' | 'time'} */ name) => (/** @type {{currentTarget: HTMLInputElement}} */ event) => {
    const { value } = event.currentTarget;
    setTyped((before) => ({ ...before, [name]: value }));
  };
  /** @param {Record<string, string>} data */
  const send = async ({ kind, date, time, at, reason }) => {
    const times = action === 'void' ? [] : timesOf(`${date}T${time}`, day.zone);
    if (action !== 'void' && times.length === 0) throw new Problem(422, { detail: '', errors: [{ field: 'time', detail: 'this time does not exist: the clocks go forward' }] }, null);
    const body = { action, reason, kind: action === 'add' ? kind : undefined, at: at || times[0], punch: line?.id };
    const made = await adjusting((adjust) => post(`/api/employees/${employee}/corrections`, { ...body, adjust }));
    if (!made) return;
    await done();
    toast(made.state === 'approved' ? 'Corrected. The hours are counted again.' : 'Requested. Nothing changes until it is approved.');
  };
  const words = { add: 'Add the punch', move: 'Move the punch', void: 'Remove the punch' };
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => /** @type {HTMLElement | null | undefined} */ (place.current?.querySelector('select, input'))?.focus(), []);
  return html`
    <div class="entry-form" ref=${place}><${Form} send=${send} action=${rights.atOnce ? words[action] : 'Send the request'} danger=${action === 'void' && rights.atOnce} cancel=${cancel}>
      ${action === 'add' && html`<${Field} name="kind" label="Kind" options=${Object.entries(KINDS)} value=${MISSING.find(([exception]) => day.exceptions.includes(exception))?.[1] ?? 'in'} />`}
      ${
        action !== 'void' &&
        html`<div class="two">
          <${Field} name="date" label="Date" type="date" value=${typed.date} min=${addDays(day.day, -7)} max=${addDays(day.day, 7)} onInput=${follow('date')} invalid="Choose a date within seven days" />
          <${Field} name="time" label="Time" type="time" value=${typed.time} onInput=${follow('time')} invalid="Type a time" hint=${`Time zone: ${day.zone.replaceAll('_', ' ')}`} />
        </div>`
      }
      ${
        action !== 'void' &&
        repeated.length > 1 &&
        html`<${Field} name="at" label="The clocks go back: this time comes twice" options=${repeated.map((at, turn) => [at, turn === 0 ? 'The first time' : 'The second time'])} value=${repeated[0]} />`
      }
      <${Field} name="reason" label="Reason" maxlength=${LONGEST_REASON} invalid="Say why" />
    <//></div>
  `;
}

/** Says what a correction does. @param {Correction} correction @param {Line | undefined} line @param {Day} day */
function wordsOf({ action, kind, at }, line, day) {
  const clock = (/** @type {string} */ time) => {
    const wall = wallTime(time, day.zone);
    return wallClock(wall) + (wallDate(wall) === day.day ? '' : ` on ${shortDay(wallDate(wall))}`);
  };
  const what = (KINDS[kind ?? line?.kind ?? ''] ?? 'punch').toLowerCase();
  const old = line && ` at ${clock(line.was ?? line.at)}`;
  if (action === 'add') return `Add “${what}” at ${clock(at ?? '')}`;
  if (action === 'move') return `Move “${what}”${line ? ` from ${clock(line.was ?? line.at)}` : ''} to ${clock(at ?? '')}`;
  return `Remove “${what}”${old ?? ''}`;
}

/**
 * The corrections of a day, with what can be done about them.
 * @param {{corrections: Correction[], lines: Line[], day: Day, rights: Rights, reload: () => Promise<unknown>}} props
 */
export function Corrections({ corrections, lines, day, rights, reload }) {
  const { act, trouble } = useActions(reload);
  /** @param {Correction} correction @param {'approve' | 'reject' | 'withdraw'} verb */
  const decide = ({ id }, verb) => adjusting((adjust) => request('POST', `/api/corrections/${id}/${verb}`, { query: { adjust: verb === 'approve' && adjust ? 'true' : '' } }));
  return html`
    ${trouble}
    <ul class="entries">
      ${corrections.map((correction) => {
        const { id, state, reason, made_at: at, made_by: by } = correction;
        const [text, tone] = DECISIONS[state] ?? [state, ''];
        const words = wordsOf(correction, lines.find((line) => line.id === correction.punch), day);
        const mine = by.id === rights.account;
        const open = state === 'requested';
        // Where another person must approve, no account approves its own request.
        const decides = rights.decides && (rights.atOnce || !mine);
        return html`
          <li key=${id} data-correction=${id} data-tone=${open || state === 'approved' ? undefined : 'soft'}>
            <span class="row-main"><span class="row-title">${words}</span><span class="row-note">${reason}</span><span class="row-note">${mine ? 'By you, ' : ''}${dateTime(at, day.zone)}</span></span>
            <${Badge} tone=${tone}>${text}<//>
            ${
              open &&
              html`<span class="actions">
                ${decides && html`<${Button} tone="primary" label=${`Approve: ${words}`} onClick=${act(() => decide(correction, 'approve'), 'Approved. The hours are counted again.')}>Approve<//><${Button} label=${`Reject: ${words}`} onClick=${act(() => decide(correction, 'reject'), 'Rejected')}>Reject<//>`}
                ${mine && html`<${Button} label=${`Withdraw: ${words}`} onClick=${act(() => decide(correction, 'withdraw'), 'Withdrawn')}>Withdraw<//>`}
              </span>`
            }
          </li>
        `;
      })}
    </ul>
  `;
}

// The leave of a month: a list, and a form to ask for it or to enter it.

import { post, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Field, Form } from '../kit/form.js';
import { dateRange } from '../kit/format.js';
import { html, useState } from '../kit/html.js';
import { DECISIONS, LEAVE_PARTS } from '../kit/words.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'LeaveView'>} Leave */
/** @typedef {import('./record.js').Month} Month */
/** @typedef {import('./record.js').Rights} Rights */

const LONGEST_REASON = 500;

/** @param {{employee: string, month: Month, rights: Rights, reload: () => Promise<unknown>}} props */
export function LeaveCard({ employee, month, rights, reload }) {
  const [asking, setAsking] = useState(false);
  const { act, trouble } = useActions(reload);
  const { leave, kinds } = month;
  const action = rights.atOnce ? 'Enter leave' : 'Ask for leave';
  return html`
    <section class="card pad leave no-print" aria-labelledby="leave-title">
      <div class="section-head">
        <h2 id="leave-title">Leave</h2>
        ${rights.asks && kinds.length > 0 && html`<${Button} onClick=${() => setAsking(true)}>${action}<//>`}
      </div>
      ${trouble}
      ${leave.length === 0 && html`<p class="soft">${kinds.length > 0 ? 'There is no leave in this month.' : 'There are no kinds of leave yet. An admin adds them on the page Plans.'}</p>`}
      <ul class="entries">${leave.map((one) => html`<${Entry} key=${one.id} leave=${one} rights=${rights} act=${act} />`)}</ul>
      ${asking && html`<${Dialog} title=${action} onClose=${() => setAsking(false)}><${LeaveForm} employee=${employee} month=${month} rights=${rights} done=${reload} close=${() => setAsking(false)} /><//>`}
    </section>
  `;
}

/** @param {{leave: Leave, rights: Rights, act: ReturnType<typeof useActions>['act']}} props */
function Entry({ leave: { id, kind_name: kind, from, to, part, hours, state, reason }, rights, act }) {
  const [text, tone] = DECISIONS[state] ?? [state, ''];
  const dates = dateRange(from, to);
  const words = `${kind}, ${dates}`;
  const some = hours ? `from ${hours.from} to ${hours.to}` : part !== 'whole' && LEAVE_PARTS[part];
  const decide = (/** @type {'approve' | 'reject' | 'withdraw' | 'cancel'} */ verb) => () => request('POST', `/api/leave/${id}/${verb}`);
  return html`
    <li data-leave=${id} data-tone=${state === 'requested' || state === 'approved' ? undefined : 'soft'}>
      <span class="row-main"><span class="row-title">${dates}</span><span>${kind}${some && `, ${some}`}</span>${reason && html`<span class="row-note">${reason}</span>`}</span>
      <${Badge} tone=${tone}>${text}<//>
      <span class="actions">
        ${state === 'requested' && rights.decides && html`<${Button} tone="primary" label=${`Approve: ${words}`} onClick=${act(decide('approve'), 'Approved')}>Approve<//><${Button} label=${`Reject: ${words}`} onClick=${act(decide('reject'), 'Rejected')}>Reject<//>`}
        ${state === 'requested' && !rights.decides && rights.asks && html`<${Button} label=${`Withdraw: ${words}`} onClick=${act(decide('withdraw'), 'Withdrawn')}>Withdraw<//>`}
        ${state === 'approved' && rights.decides && html`<${Button} label=${`Cancel leave: ${words}`} onClick=${act(decide('cancel'), 'Cancelled')}>Cancel leave<//>`}
      </span>
    </li>
  `;
}

/** @param {{employee: string, month: Month, rights: Rights, done: () => Promise<unknown>, close: () => void}} props */
function LeaveForm({ employee, month: { kinds, days, today }, rights, done, close }) {
  const [part, setPart] = useState('whole');
  const first = today >= days.from && today <= days.to ? today : days.from;
  /** @param {Record<string, string>} data */
  const send = async (data) => {
    const hours = part === 'hours' ? { from: data['hours.from'], to: data['hours.to'] } : undefined;
    const { kind, from, to, reason, approved } = data;
    const leave = await post('/api/leave', { employee, kind, from, to: to || undefined, part, hours, reason: reason.trim() || undefined, approved: approved === 'on' });
    close();
    await done();
    toast(leave.state === 'approved' ? 'The leave was entered' : 'Requested. It counts when it is approved.');
  };
  return html`
    <${Form} send=${send} action=${rights.atOnce ? 'Enter leave' : 'Ask for leave'} cancel=${close}>
      <${Field} name="kind" label="Kind" options=${kinds.map(({ id, name }) => [id, name])} />
      <div class="two">
        <${Field} name="from" label="First day" type="date" value=${first} invalid="Choose a date" />
        <${Field} name="to" label="Last day" type="date" optional invalid="Choose a date" hint="Leave it empty for a single day" />
      </div>
      <${Field} name="part" label="How much of each day" options=${Object.entries(LEAVE_PARTS)} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => setPart(event.currentTarget.value)} />
      ${
        part === 'hours' &&
        html`<div class="two">
          <${Field} name="hours.from" label="From" type="time" invalid="Type a time" />
          <${Field} name="hours.to" label="To" type="time" invalid="Type a time" />
        </div>`
      }
      <${Field} name="reason" label="Reason" optional maxlength=${LONGEST_REASON} />
      ${rights.atOnce ? html`<${Check} name="approved" label="Approved" hint="Without the tick it is a request that waits for a decision." checked />` : html`<p class="soft small">It is a request. It counts when it is approved.</p>`}
    <//>
  `;
}

// Kinds of leave.

import { getAll, patch, post } from '../api.js';
import { Dialog } from '../kit/dialog.js';
import { useFeed } from '../kit/feed.js';
import { Check, Field, Form, useDraft } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Entries } from './entries.js';

/** @typedef {ApiSchema<'LeaveKindView'>} LeaveKind */

/** @param {import('./entries.js').PartProps} props */
export function LeaveKinds({ can }) {
  const list = useLoad(() => getAll('/api/leave-kinds'), []);
  useFeed(['plan'], list.reload);
  return html`<${Show} of=${list}>
    ${(/** @type {LeaveKind[]} */ items) => html`
      <${Entries}
        one="kind of leave"
        many="kinds of leave"
        about="Why people are away: vacation, illness, parental leave. Employees choose one of these when they ask for leave."
        items=${items}
        may=${can.administer}
        note=${(/** @type {LeaveKind} */ { paid }) => (paid ? 'Paid' : 'Not paid')}
        address=${(/** @type {string} */ id) => `/api/leave-kinds/${id}`}
        loss="Leave of this kind stays as it is. It cannot be asked for any more."
        reload=${list.reload}
        form=${(/** @type {LeaveKind | null} */ kind, /** @type {(name: string) => Promise<void>} */ done, /** @type {() => void} */ close) => html`<${LeaveKindDialog} key=${kind?.id ?? 'new'} kind=${kind} done=${done} close=${close} />`}
      />
    `}
  <//>`;
}

/** @param {{kind: LeaveKind | null, done: (name: string) => Promise<void>, close: () => void}} props */
function LeaveKindDialog({ kind, done, close }) {
  const { draft, bind, tick } = useDraft({ name: kind?.name ?? '', paid: kind?.paid ?? true });
  const send = async () => {
    const settings = { name: draft.name.trim(), paid: draft.paid };
    await (kind ? patch(`/api/leave-kinds/${kind.id}`, settings) : post('/api/leave-kinds', settings));
    await done(settings.name);
  };
  return html`
    <${Dialog} title=${kind ? 'Change the kind of leave' : 'Add a kind of leave'} onClose=${close}>
      <${Form} send=${send} action=${kind ? 'Save' : 'Add'} cancel=${close}>
        <${Field} label="Name" maxlength="64" placeholder="Vacation" invalid="Type a name" ...${bind('name')} />
        <${Check} label="Paid" hint="For payroll. The hours are the same either way: on a day of leave, no work is due." ...${tick('paid')} />
      <//>
    <//>
  `;
}

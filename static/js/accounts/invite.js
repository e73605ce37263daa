// Invites a person to an account, to enroll their own face, or both.

import { post } from '../api.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Choice, Field, Form, useDraft } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { EmployeeChoice } from './employee.js';
import { Grants, grantSettings } from './grants.js';
import { Link } from './link.js';

/** @typedef {import('./link.js').Sent} Sent */

/** @type {[string, string, string][]} */
const WHAT = [
  ['account', 'An account', 'The person chooses a password, and signs in.'],
  ['face', 'Only their own face', 'The person takes photos with their own phone, and agrees to it there. No account is created.'],
];

/** @param {{sites: ApiSchema<'SiteView'>[], admin: boolean, of?: import('./employee.js').Employee, invited: () => unknown, close: () => void}} props `of` is the employee who is invited to enroll their face */
export function InviteDialog({ sites, admin, of, invited, close }) {
  const { draft, change, bind, tick } = useDraft({ what: of ? 'face' : 'account', email: '', name: '', enroll: false });
  const [grants, setGrants] = useState([{ role: 'employee', site: '' }]);
  const [employee, setEmployee] = useState(/** @type {import('./employee.js').Employee | null} */ (of ?? null));
  const [sent, setSent] = useState(/** @type {Sent | undefined} */ (undefined));
  const account = draft.what === 'account';
  const send = async () => {
    const email = draft.email.trim() || null;
    const about = { email, employee: employee?.id ?? null };
    const made = await post('/api/invitations', /** @type {any} */ (account ? { ...about, name: draft.name.trim() || null, grants: grantSettings(grants), enroll: draft.enroll && Boolean(employee) } : { ...about, enroll: true }));
    setSent(made);
    invited();
  };
  if (sent)
    return html`
      <${Dialog} title=${`${sent.name ?? sent.email ?? 'The person'} is invited`} onClose=${close}>
        <${Link} sent=${sent} />
        <div class="actions end"><button class="button primary" type="button" data-close>Done</button></div>
      <//>
    `;
  return html`
    <${Dialog} title="Invite" onClose=${close} sheet>
      <${Form} send=${send} action="Invite" cancel=${close}>
        <${Choice} name="what" label="To what?" value=${draft.what} options=${WHAT} choose=${(/** @type {string} */ what) => change({ what })} />
        <${EmployeeChoice} chosen=${employee} choose=${setEmployee} hint=${account ? 'Whose own hours the account shows. Needed for the role Employee.' : 'Whose face is enrolled.'} />
        <${Field} label="Email address" type="email" optional=${!account} invalid="Type an email address" hint=${account ? 'With which the person signs in.' : 'Where the link is sent, if Rollcall sends email.'} ...${bind('email')} />
        ${account && html`<${Field} label="Name" maxlength="120" optional=${Boolean(employee)} invalid="Type a name" hint=${employee ? `Left empty, it is ${employee.name}.` : undefined} ...${bind('name')} />`}
        ${account && (admin ? html`<${Grants} grants=${grants} choose=${setGrants} sites=${sites} />` : html`<p class="hint">The person sees their own hours, and asks for corrections and leave. Only admins grant more.</p>`)}
        ${account && employee && html`<${Check} label="The person also enrolls their own face" hint="With the same link, on their own phone." ...${tick('enroll')} />`}
      <//>
    <//>
  `;
}

// The invitations that were not used yet: create new links, and revoke them.

import { get, remove, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { parameter, setParameters } from '../kit/address.js';
import { Badge, Button, Icon } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { html, useState } from '../kit/html.js';
import { Trouble, useLoad } from '../kit/load.js';
import { Pages, usePages } from '../kit/pages.js';
import { ask } from '../ui/dialog.js';
import { dateTime } from '../ui/time.js';
import { InviteDialog } from './invite.js';
import { Link } from './link.js';
import { grantWords } from './words.js';

/** @typedef {ApiSchema<'InvitationView'>} Invitation */

/** What an invitation is for. @type {Record<string, string>} */
const PURPOSES = { account: 'Account', account_and_face: 'Account and own face', face: 'Own face', password: 'New password' };

/** @param {import('../pages/accounts.js').PartProps} props */
export function Invitations({ can, sites }) {
  const list = usePages('/api/invitations', { limit: '100' });
  // The page of people leads here for a person who enrolls their own face.
  const wanted = parameter('employee');
  const person = useLoad(async () => (wanted ? get(`/api/employees/${encodeURIComponent(wanted)}`) : undefined), [wanted]);
  const [inviting, setInviting] = useState(false);
  const close = () => {
    setInviting(false);
    setParameters({ employee: '' }, { stay: true });
  };
  const [sent, setSent] = useState(/** @type {import('./link.js').Sent | undefined} */ (undefined));
  const { act, trouble } = useActions(list.reload);
  const resend = (/** @type {Invitation} */ { id }) => act(async () => setSent(await request('POST', `/api/invitations/${id}/resend`)));
  const revoke = (/** @type {Invitation} */ one) =>
    act(async () => {
      if (!(await ask({ title: 'Revoke this invitation?', text: `${whoOf(one)}: the link stops working at once.`, action: 'Revoke' }))) return false;
      await remove(`/api/invitations/${one.id}`);
    }, 'The invitation was revoked');
  return html`
    <div class="part-head">
      <p class="soft">With a link, people create their own account, enroll their own face, or choose a new password. Each link works once.</p>
      <button class="button primary" type="button" onClick=${() => setInviting(true)}><${Icon} name="plus" />Invite</button>
    </div>
    ${trouble}
    <${Trouble} of=${person} />
    <${Pages} of=${list} label="Invitations" empty="No invitation is open.">
      ${(/** @type {Invitation[]} */ all) => html`<ul class="rows">
        ${all.map(
          (one) => html`<li key=${one.id} data-invitation=${one.id}>
            <div class="row">
              <div class="row-main"><span class="row-title">${whoOf(one)}</span><span class="row-note wrap">${noteOf(one)}</span></div>
              ${one.open ? html`<${Badge} tone="in">Open until ${dateTime(one.expires_at)}<//>` : html`<${Badge} tone="warn">Expired<//>`}
              <div class="row-side">
                <${Button} label=${`Create a new link for ${whoOf(one)}`} onClick=${resend(one)}>New link<//>
                <${Button} tone="danger" label=${`Revoke the invitation of ${whoOf(one)}`} onClick=${revoke(one)}>Revoke<//>
              </div>
            </div>
          </li>`,
        )}
      </ul>`}
    <//>
    ${(inviting || person.data) && html`<${InviteDialog} key=${person.data?.id} sites=${sites} admin=${can.administer} of=${person.data} invited=${list.reload} close=${close} />`}
    ${
      sent &&
      html`<${Dialog} title="New link" onClose=${() => setSent(undefined)}>
        <p class="soft">The previous link no longer works.</p>
        <${Link} sent=${sent} />
        <div class="actions end"><button class="button primary" type="button" data-close>Done</button></div>
      <//>`
    }
  `;
}

/** @param {Invitation} invitation */
const whoOf = ({ name, email, employee }) => name ?? employee?.name ?? email ?? 'Unknown person';

/** @param {Invitation} invitation */
const noteOf = ({ purpose, email, grants, employee }) => [PURPOSES[purpose] ?? purpose, grants.length > 0 && grantWords(grants), employee && `employee ${employee.code}`, email].filter(Boolean).join(' · ');

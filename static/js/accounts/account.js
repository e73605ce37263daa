// One account: what it may do, whether its person can sign in, and what helps a person who cannot.

import { patch, remove } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Button, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { ask } from '../ui/dialog.js';
import { dateName } from '../ui/time.js';
import { toast } from '../ui/toast.js';
import { EmployeeChoice } from './employee.js';
import { Grants, grantSettings } from './grants.js';
import { States } from './list.js';
import { ResetLink } from './reset.js';
import { lastSignIn } from './words.js';

/** @typedef {import('./words.js').Managed} Managed */

/** @param {{managed: Managed, own: boolean, sites: ApiSchema<'SiteView'>[], reload: () => Promise<void>, close: () => void}} props */
export function AccountSheet({ managed, own, sites, reload, close }) {
  const { id, name, email, active } = managed;
  const [grants, setGrants] = useState(managed.grants.map(({ role, site }) => ({ role, site: site ?? '' })));
  const [employee, setEmployee] = useState(managed.employee ?? null);
  const { act, trouble } = useActions(reload);
  const address = /** @type {const} */ (`/api/accounts/${id}`);

  const send = async (/** @type {Record<string, string>} */ data) => {
    await patch(address, { name: (data.name ?? '').trim(), employee: employee?.id ?? null, grants: grantSettings(grants) });
    await reload();
    toast(`${data.name} was saved`);
  };
  const disable = act(async () => {
    const question = { title: `Disable the account of ${name}?`, text: `${name} is signed out everywhere at once, and cannot sign in until you enable the account again. Punching at kiosks, hours and everything they did stay as they are.`, action: 'Disable' };
    if (!(await ask(question))) return false;
    await patch(address, { active: false });
  }, `${name} can no longer sign in`);
  const enable = act(() => patch(address, { active: true }), `${name} can sign in again`);
  const resetFactor = act(async () => {
    const question = { title: `Remove the second step of ${name}?`, text: `The app, the passkeys and the recovery codes of ${name} stop working, and ${name} is signed out everywhere. The password alone signs in then. Make sure that it is really ${name} who asks.`, action: 'Remove the second step' };
    if (!(await ask(question))) return false;
    await remove(`/api/accounts/${id}/second-factor`);
  }, `The second step of ${name} was removed`);
  const unlink = act(async () => {
    const question = { title: `End the link of ${name} to the identity provider?`, text: `${name} is signed out everywhere. The next person with the address ${email} at the provider gets this account.`, action: 'End the link' };
    if (!(await ask(question))) return false;
    await remove(`/api/accounts/${id}/identity`);
  }, `The link of ${name} was ended`);
  const drop = act(async () => {
    const question = { title: `Remove the account of ${name}?`, text: `${name} (${email}) is signed out at once and can never sign in with this account again. What they did stays in the audit trail; the employee, their face and their hours stay. To keep the account for later, disable it.`, action: 'Remove the account' };
    if (!(await ask(question))) return false;
    await remove(address);
    close();
  }, `The account of ${name} was removed`);

  return html`
    <${Dialog} title=${name} onClose=${close} sheet>
      <div class="section">
        <p>${email}</p>
        <p class="small soft">Since ${dateName(managed.created_at)}. Last sign-in: ${lastSignIn(managed.signed_in_at)}.</p>
        <${States} account=${managed} />
        ${trouble}
        ${managed.grants.length === 0 && html`<${Notice} kind="warn">This account has no permissions, because its employee was deleted. Give it a role, or remove it.<//>`}
      </div>
      <section class="section" aria-labelledby="account-may">
        <h3 id="account-may">Name and roles</h3>
        <${Form} send=${send} action="Save">
          <${Field} name="name" label="Name" value=${name} maxlength="120" invalid="Type a name" />
          <${Grants} grants=${grants} choose=${setGrants} sites=${sites} />
          <${EmployeeChoice} chosen=${employee} choose=${setEmployee} hint="Whose own hours the account shows. Needed for the role Employee." />
        <//>
      </section>
      <section class="section" aria-labelledby="account-help">
        <h3 id="account-help">Signing in</h3>
        <${ResetLink} account=${managed} />
        ${managed.second_factor && html`<div><p class="small soft">If ${name} lost the phone and the recovery codes, remove the second step. ${name} can then set up a new one.</p><div class="actions"><${Button} onClick=${resetFactor}>Remove the second step<//></div></div>`}
        ${managed.linked && html`<div><p class="small soft">${name} also signs in with the identity provider. If that is the wrong person, or the provider has a new ID for ${name}, end the link.</p><div class="actions"><${Button} onClick=${unlink}>End the link<//></div></div>`}
        <div>
          <p class="small soft">${active ? 'A disabled account keeps everything but cannot sign in.' : 'The account is disabled: its person cannot sign in.'}</p>
          <div class="actions">${active ? html`<${Button} tone="danger" onClick=${disable}>Disable the account<//>` : html`<${Button} onClick=${enable}>Enable the account<//>`}</div>
        </div>
      </section>
      <section class="section" aria-labelledby="account-remove">
        <h3 id="account-remove">Remove</h3>
        <p class="small soft">${own ? 'This is your own account: you are signed out at once.' : 'The employee, their face and their hours stay.'}</p>
        <div class="actions"><${Button} tone="danger" onClick=${drop}>Remove the account<//></div>
      </section>
    <//>
  `;
}

// Which roles need a second step after the password.

import { get, put } from '../api.js';
import { Notice } from '../kit/basics.js';
import { Check, Form, Group } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { toast } from '../ui/toast.js';
import { ROLES } from './words.js';

/** @typedef {{second_factor_required: string[]}} SecurityPolicy */

export function Policy() {
  const policy = useLoad(() => get('/api/security-policy'), []);
  const send = async (/** @type {Record<string, string>} */ data) => {
    await put('/api/security-policy', { second_factor_required: Object.keys(ROLES).filter((role) => data[role] === 'on') });
    await policy.reload();
    toast('Saved');
  };
  return html`
    <section class="card pad narrow-page" aria-labelledby="policy">
      <h2 id="policy">Roles that need a second step</h2>
      <p class="soft">After the password, these people must also show a code of an app or a passkey. With a second step, a stolen password alone is not enough to sign in.</p>
      <${Show} of=${policy}>
        ${(/** @type {SecurityPolicy} */ { second_factor_required: required }) => html`
          <${Form} send=${send} action="Save">
            <${Group} label="Roles" name="second_factor_required">
              ${Object.entries(ROLES).map(([role, [name]]) => html`<${Check} key=${role} name=${role} label=${name} checked=${required.includes(role)} />`)}
            <//>
            <${Notice} kind="info">People with these roles who have no second step must add one before they can open any other page. If yours is among them, add yours first: <a href="/account">My account</a>.<//>
          <//>
        `}
      <//>
    </section>
  `;
}

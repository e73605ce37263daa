// A new password for the account.

import { request } from '../api.js';
import { Check, Field, Form } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { toast } from '../ui/toast.js';

/** What a password must be like, for people who choose one. */
export const PASSWORD_RULES = 'Use at least 12 characters. Four or more unrelated words work well. Your name, your email address and common passwords are not accepted.';
/** The attributes of a field for a new password. */
export const NEW_PASSWORD = { type: 'password', autocomplete: 'new-password', minlength: 12, maxlength: 256, invalid: 'Use at least 12 characters', hint: PASSWORD_RULES };

/** @param {{account: ApiSchema<'AccountView'>}} props */
export function Password({ account: { email } }) {
  // A new form is empty.
  const [changes, setChanges] = useState(0);
  const send = async (/** @type {Record<string, string>} */ { present, password, revoke_tokens: revoke }) => {
    await request('PUT', '/api/account/password', { json: { present, password, revoke_tokens: revoke === 'on' } });
    setChanges(changes + 1);
    toast('Your password was changed. Other browsers are signed out');
  };
  return html`
    <section class="card pad" aria-labelledby="password">
      <h2 id="password">Password</h2>
      <${Form} key=${changes} send=${send} action="Change the password">
        <input type="email" autocomplete="username" value=${email} hidden disabled />
        <${Field} name="present" label="Current password" type="password" autocomplete="current-password" invalid="Type your current password" />
        <${Field} name="password" label="New password" ...${NEW_PASSWORD} />
        <${Check} name="revoke_tokens" label="Revoke my API tokens" checked hint="A thief of your old password could have made some." />
        <p class="hint">A new password ends your sessions in all other browsers.</p>
      <//>
    </section>
  `;
}

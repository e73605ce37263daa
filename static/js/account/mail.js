// Which emails the account gets.

import { get, put } from '../api.js';
import { Notice } from '../kit/basics.js';
import { Check, Form } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { abilities } from '../session.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'MailView'>} Preferences */

/** The kinds of emails: their words, and who gets them. @type {Record<string, [words: string, hint: string, who: 'all' | 'person' | 'decides' | 'admin']>} */
const KINDS = {
  sign_in: ['A sign-in from a new browser', 'If it was not you, change your password.', 'all'],
  missing_out: ['You forgot to punch out', 'One hour after your shift ends, with a link to correct it.', 'person'],
  waiting: ['Something new waits for my decision', 'Corrections, leave and timesheets.', 'decides'],
  summary: ['Daily summary', 'One email in the morning with everything that waits for your decision.', 'decides'],
  webhook_disabled: ['A webhook was turned off', 'Because its receiver did not answer for a long time.', 'admin'],
};

/** @param {import('../pages/account.js').PartProps} props */
export function Mail({ account }) {
  const mail = useLoad(() => get('/api/account/mail'), []);
  const can = abilities(account);
  const gets = { all: true, person: Boolean(account.employee), decides: can.edit, admin: can.administer };
  return html`
    <section class="card pad" aria-labelledby="mail">
      <h2 id="mail">Emails to ${account.email}</h2>
      <${Show} of=${mail}>
        ${(/** @type {Preferences} */ { available, kinds, off }) => {
          const shown = kinds.filter((kind) => gets[KINDS[kind]?.[2] ?? 'all']);
          const send = async (/** @type {Record<string, string>} */ data) => {
            // What is not shown stays as it is.
            await put('/api/account/mail', { off: kinds.filter((kind) => (shown.includes(kind) ? data[kind] !== 'on' : off.includes(kind))) });
            await mail.reload();
            toast('Saved');
          };
          return html`
            ${!available && html`<${Notice} kind="info">Rollcall cannot send email yet, because no mail server is set up. Your choices take effect once one is.<//>`}
            <${Form} send=${send} action="Save">
              ${shown.map((kind) => html`<${Check} key=${kind} name=${kind} label=${KINDS[kind]?.[0] ?? kind} hint=${KINDS[kind]?.[1]} checked=${!off.includes(kind)} />`)}
              <p class="hint">Invitations, links for a new password and warnings about changes of how you sign in are always sent.</p>
            <//>
          `;
        }}
      <//>
    </section>
  `;
}

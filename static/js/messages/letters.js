// Whether emails are sent, and which.

import { get } from '../api.js';
import { Notice } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { dateTime } from '../ui/time.js';

/** The emails: what they are about, and who gets them. @type {[about: string, to: string][]} */
const LETTERS = [
  ['Their account signed in from a new browser', 'The person'],
  ['A punch out is missing an hour after the shift ended', 'The employee, if they have an account'],
  ['Corrections, timesheets or leave wait for a decision, at most once an hour', 'Managers and admins who may decide'],
  ['Daily summary of everything that waits (MAIL_SUMMARY)', 'Managers and admins who may decide'],
  ['A webhook was disabled', 'Admins'],
  ['Invitations and links for a new password', 'The person'],
];

export function Letters() {
  const mail = useLoad(async () => {
    const [{ available }, notices] = await Promise.all([get('/api/account/mail'), get('/api/notices')]);
    return { available, failing: notices.items.find(({ kind }) => kind === 'mail_failing') };
  }, []);
  return html`
    <${Show} of=${mail}>
      ${(/** @type {{available: boolean, failing?: ApiSchema<'NoticeView'>}} */ { available, failing }) => html`
        <section class="card pad" aria-labelledby="letters">
          <h2 id="letters">Emails</h2>
          ${
            failing
              ? html`<${Notice} kind="bad"><strong>Emails have waited since ${dateTime(failing.since)}: ${failing.reason}.</strong> An operator of the service checks <code>SMTP_URL</code> with <code>rollcall doctor</code>. Rollcall gives up on an email after three days, and on a link for a new password after an hour.<//>`
              : available
              ? html`<${Notice} kind="good">A mail server is set up. Emails that it does not accept are tried again for three days.<//>`
              : html`<${Notice} kind="info">No emails are sent, because no mail server is set up. An operator of the service sets <code>SMTP_URL</code> and <code>MAIL_FROM</code>, and <code>PUBLIC_URL</code> for the links in emails, and restarts it. <code>rollcall doctor</code> checks them.<//>`
          }
          <dl class="facts wide">${LETTERS.map(([about, to]) => html`<div key=${about}><dt>${to}</dt><dd>${about}</dd></div>`)}</dl>
          <p class="soft">Each person chooses under <a href="/account?part=mail">My account</a> which of them to get.</p>
        </section>
      `}
    <//>
  `;
}

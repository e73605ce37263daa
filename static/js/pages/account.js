// My account: the name, the password, the second factor, and where the account is signed in.

import { Password } from '../account/password.js';
import { Profile } from '../account/profile.js';
import { SecondFactor, readSecondFactor } from '../account/second-factor.js';
import { Sessions } from '../account/sessions.js';
import { Notice, PageHead } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { currentAccount, describeGrants } from '../session.js';

/** @typedef {import('../account/second-factor.js').Factors} Factors */
/** @typedef {ApiSchema<'AccountView'>} Account */

export function Page() {
  const account = useLoad(currentAccount, []);
  const factors = useLoad(readSecondFactor, []);
  const known = account.data;
  const has = factors.data;
  // The service answers nothing else before.
  const mustSetUp = has?.required && !has.totp && has.passkeys.length === 0;
  const ready = has || factors.error;
  return html`
    <${PageHead} title="My account" lead=${known && html`<p>${known.email} · ${describeGrants(known)}${known.employee && !mustSetUp && html` · <a href=${`/person?id=${known.employee}`}>My hours</a>`}</p>`} />
    <div class="narrow-page stack">
      <${Show} of=${account}>
        ${(/** @type {Account} */ own) => html`
          ${mustSetUp && html`<${Notice} kind="warn"><strong>Add a second step first.</strong> Your role needs one: with it, a stolen password alone opens nothing. Everything else is open as soon as you have added an app or a passkey.<//>`}
          ${ready && !mustSetUp && html`<${Profile} account=${own} /><${Password} account=${own} />`}
          <${Show} of=${factors}>${(/** @type {Factors} */ all) => html`<${SecondFactor} account=${own} factors=${all} reload=${factors.reload} />`}<//>
          ${ready && !mustSetUp && html`<${Sessions} />`}
        `}
      <//>
    </div>
  `;
}

// My account: how the person signs in, their own data, the mail they get, and the tokens of their programs.

import { Mail } from '../account/mail.js';
import { MyData } from '../account/my-data.js';
import { Password } from '../account/password.js';
import { Profile } from '../account/profile.js';
import { SecondFactor, readSecondFactor } from '../account/second-factor.js';
import { Sessions } from '../account/sessions.js';
import { Tokens } from '../account/tokens.js';
import { parameter } from '../kit/address.js';
import { Link, Notice, PageHead } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { currentAccount, describeGrants } from '../session.js';

/** @typedef {import('../account/second-factor.js').Factors} Factors */
/** @typedef {ApiSchema<'AccountView'>} Account */
/** @typedef {{account: Account, factors: import('../kit/load.js').Loaded<Factors>}} PartProps */

/** The parts by their name in the address. @type {Record<string, [words: string, part: (props: PartProps) => unknown]>} */
const PARTS = {
  'sign-in': ['Signing in', SigningIn],
  data: ['My data', MyData],
  mail: ['Email', Mail],
  tokens: ['Programs', Tokens],
};
const FIRST = 'sign-in';

export function Page() {
  const account = useLoad(currentAccount, []);
  const factors = useLoad(readSecondFactor, []);
  const known = account.data;
  const has = factors.data;
  // The service answers nothing else before.
  const mustSetUp = has?.required && !has.totp && has.passkeys.length === 0;
  return html`
    <${PageHead} title="My account" lead=${known && html`<p>${known.email} · ${describeGrants(known)}${known.employee && !mustSetUp && html` · <a href=${`/person?id=${known.employee}`}>My hours</a>`}</p>`} />
    <${Show} of=${account}>
      ${(/** @type {Account} */ own) => {
        if (mustSetUp)
          return html`<div class="narrow-page stack">
            <${Notice} kind="warn"><strong>Add a second step first.</strong> Your role needs one. With a second step, a stolen password alone is not enough to sign in. You can open everything else once you have added an app or a passkey.<//>
            <${SecondFactor} account=${own} factors=${has} reload=${factors.reload} />
          </div>`;
        if (!has && !factors.error) return html`<${Show} of=${factors}>${() => null}<//>`;
        return html`<${Parts} account=${own} factors=${factors} />`;
      }}
    <//>
  `;
}

/** @param {PartProps} props */
function Parts({ account, factors }) {
  // Only the account of an employee has data of a person.
  const names = Object.keys(PARTS).filter((name) => name !== 'data' || account.employee);
  const wanted = parameter('part', FIRST);
  const part = names.includes(wanted) ? wanted : FIRST;
  const [, Part] = PARTS[part] ?? [];
  return html`
    <nav class="tabs" aria-label="Parts of my account">${names.map((name) => html`<${Link} key=${name} to=${{ part: name === FIRST ? '' : name }} aria-current=${name === part ? 'page' : undefined}>${PARTS[name]?.[0]}<//>`)}</nav>
    <div class="narrow-page stack"><${Part} key=${part} account=${account} factors=${factors} /></div>
  `;
}

/** @param {PartProps} props */
function SigningIn({ account, factors }) {
  return html`
    <${Profile} account=${account} />
    ${account.has_password && html`<${Password} account=${account} />`}
    <${Show} of=${factors}>${(/** @type {Factors} */ all) => html`<${SecondFactor} account=${account} factors=${all} reload=${factors.reload} />`}<//>
    <${Sessions} />
  `;
}

// Accounts: who can sign in and what they may do, who is invited, and which roles need a second step, and the tokens of
// programs.

import { AccountList } from '../accounts/list.js';
import { Invitations } from '../accounts/invitations.js';
import { Policy } from '../accounts/policy.js';
import { AllTokens } from '../accounts/tokens.js';
import { parameter } from '../kit/address.js';
import { Link, Notice, PageHead } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { abilities, currentAccount } from '../session.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {{account: ApiSchema<'AccountView'>, can: ReturnType<typeof abilities>, sites: ApiSchema<'SiteView'>[]}} PartProps what every part of the page gets */

/** The parts by their name in the address. @type {Record<string, [words: string, part: (props: PartProps) => unknown]>} */
const PARTS = {
  accounts: ['Accounts', AccountList],
  invitations: ['Invitations', Invitations],
  policy: ['Second step', Policy],
  tokens: ['Programs', AllTokens],
};

const read = async () => {
  const account = await currentAccount();
  return { account, can: abilities(account), sites: await loadSites() };
};

export function Page() {
  const known = useLoad(read, []);
  const wanted = parameter('part');
  return html`
    <${PageHead} title="Accounts" lead=${html`<p>Who can sign in, and what they may do. People need no account to punch.</p>`} />
    <${Show} of=${known}>
      ${(/** @type {PartProps} */ props) => {
        const { can } = props;
        if (!can.administer && !can.invite) return html`<${Notice} kind="info">Only admins manage accounts. <a href="/account">Your own account</a><//>`;
        if (!can.administer) return html`<${Invitations} ...${props} />`;
        const part = wanted in PARTS ? wanted : 'accounts';
        const [, Part] = PARTS[part] ?? [];
        return html`
          <nav class="tabs" aria-label="Parts of the accounts">
            ${Object.entries(PARTS).map(([name, [words]]) => html`<${Link} key=${name} to=${{ part: name === 'accounts' ? '' : name, q: '', role: '', state: '', employee: '' }} aria-current=${name === part ? 'page' : undefined}>${words}<//>`)}
          </nav>
          <${Part} key=${part} ...${props} />
        `;
      }}
    <//>
  `;
}

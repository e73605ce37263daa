// The tokens of programs of all accounts, which admins can revoke.

import { TokenRows, revokeToken } from '../account/tokens.js';
import { useActions } from '../kit/actions.js';
import { html } from '../kit/html.js';
import { Pages, usePages } from '../kit/pages.js';

/** @typedef {ApiSchema<'TokenView'>} Token */

export function AllTokens() {
  const list = usePages('/api/tokens', { everyone: 'true', limit: '100' });
  const { act, trouble } = useActions(list.reload);
  const revoke = (/** @type {Token} */ token) => act(() => revokeToken(token), `${token.name} was revoked`);
  return html`
    <div class="part-head"><p class="soft">With these, programs use the API in the name of an account. Everybody makes their own on the page <a href="/account?part=tokens">My account</a>.</p></div>
    ${trouble}
    <${Pages} of=${list} label="Tokens" empty="No account has a token.">${(/** @type {Token[]} */ tokens) => html`<${TokenRows} tokens=${tokens} revoke=${revoke} whose />`}<//>
  `;
}

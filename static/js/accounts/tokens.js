// The tokens of programs of all accounts, which admins can revoke.

import { TokenRows, revokeToken } from '../account/tokens.js';
import { useActions } from '../kit/actions.js';
import { Empty } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { More, usePages } from '../kit/pages.js';

/** @typedef {ApiSchema<'TokenView'>} Token */

export function AllTokens() {
  const list = usePages('/api/tokens', { everyone: 'true', limit: '100' });
  const { act, trouble } = useActions(list.reload);
  const revoke = (/** @type {Token} */ token) => act(() => revokeToken(token), `${token.name} was revoked`);
  return html`
    <div class="part-head"><p class="soft">With these, programs use the API in the name of an account. Everybody makes their own on the page <a href="/account?part=tokens">My account</a>.</p></div>
    ${trouble}
    <section class="card" aria-label="Tokens">
      ${!list.items && !list.error && html`<div class="skeleton" aria-busy="true"><span class="visually-hidden">Loading</span></div>`}
      ${list.items?.length === 0 && html`<${Empty}><p>No account has a token.</p><//>`}
      <${TokenRows} tokens=${list.items ?? []} revoke=${revoke} whose />
    </section>
    <${More} of=${list} />
  `;
}

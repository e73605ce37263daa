// A link with which the person of an account chooses a new password.

import { request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Button } from '../kit/basics.js';
import { html, useState } from '../kit/html.js';
import { Link } from './link.js';

/** @param {{account: ApiSchema<'ManagedAccountView'>}} props */
export function ResetLink({ account: { id, name, active } }) {
  const [sent, setSent] = useState(/** @type {import('./link.js').Sent | undefined} */ (undefined));
  const { act, trouble } = useActions(async () => {});
  const make = act(async () => setSent(await request('POST', `/api/accounts/${id}/password-reset`)));
  return html`
    <div class="section">
      <p class="small soft">If ${name} forgot the password, create a link to choose a new one. The current password works until then.</p>
      ${trouble}
      ${sent && html`<${Link} key=${sent.id} sent=${sent} />`}
      <div class="actions"><${Button} disabled=${!active} onClick=${make}>${sent ? 'Create another link' : 'Create a link'}<//></div>
    </div>
  `;
}

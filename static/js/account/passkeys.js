// The passkeys of the account: add, rename and remove them.

import { get, patch, post, remove, request } from '../api.js';
import { Button } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { useLoad } from '../kit/load.js';
import { ask } from '../ui/dialog.js';
import { hasPasskeys, makePasskey } from '../ui/passkeys.js';
import { dateName } from '../ui/time.js';

/** @typedef {ApiSchema<'PasskeyView'>} Passkey */
/** @typedef {ReturnType<typeof import('../kit/actions.js').useActions>['act']} Act */

/** @param {{passkeys: Passkey[], required: boolean, last: boolean, added: (codes?: string[] | null) => Promise<void>, act: Act}} props */
export function Passkeys({ passkeys, required, last, added, act }) {
  const [open, setOpen] = useState(/** @type {Passkey | null | undefined} */ (undefined));
  const methods = useLoad(() => get('/api/session/methods'), []);
  const possible = hasPasskeys() && methods.data?.passkey !== false;
  const close = () => setOpen(undefined);
  const drop = (/** @type {Passkey} */ { id, name }) =>
    act(async () => {
      const sure = await ask({
        title: `Remove the passkey ${name}?`,
        text: last ? 'It is your only second step. Without it, your password alone signs you in, and your recovery codes stop working.' : 'It no longer signs you in. Remove it on the device as well.',
        action: 'Remove',
      });
      if (!sure) return false;
      await remove(`/api/account/passkeys/${id}`);
    }, `The passkey ${name} was removed`);
  return html`
    <div class="section">
      <h3>Passkeys</h3>
      <p class="small soft">Your fingerprint, face or PIN of this device, or a security key. A passkey signs you in without a password, and as the second step.</p>
      <ul class="entries">
        ${passkeys.map(
          (one) => html`<li key=${one.id} data-passkey=${one.id}>
            <div class="row-main"><span class="row-title">${one.name}</span><span class="row-note">${noteOf(one)}</span></div>
            <button class="button" type="button" aria-label=${`Rename ${one.name}`} onClick=${() => setOpen(one)}>Rename</button>
            ${!(required && last) && html`<${Button} tone="danger" label=${`Remove ${one.name}`} onClick=${drop(one)}>Remove<//>`}
          </li>`,
        )}
      </ul>
      ${
        possible
          ? html`<div class="actions"><button class="button" type="button" onClick=${() => setOpen(null)}>Add a passkey</button></div>`
          : html`<p class="hint">You cannot add a passkey here. Passkeys need a current browser, https, and a host name rather than an IP address.</p>`
      }
      ${open !== undefined && html`<${PasskeyDialog} passkey=${open} added=${added} close=${close} />`}
    </div>
  `;
}

/** @param {Passkey} passkey */
const noteOf = ({ host, added_at: since, used_at: used }) => [host !== location.hostname && `for ${host}`, `added ${dateName(since)}`, used ? `last used ${dateName(used)}` : 'never used'].filter(Boolean).join(' · ');

/** @param {{passkey: Passkey | null, added: (codes?: string[] | null) => Promise<void>, close: () => void}} props */
function PasskeyDialog({ passkey, added, close }) {
  const send = async (/** @type {Record<string, string>} */ data) => {
    const name = (data.name ?? '').trim();
    if (passkey) {
      await patch(`/api/account/passkeys/${passkey.id}`, { name });
      close();
      return added();
    }
    const { options } = await request('POST', '/api/account/passkeys/begin');
    const credential = await makePasskey(options);
    const { recovery_codes: codes } = await post('/api/account/passkeys', { name, credential: /** @type {any} */ (credential) });
    close();
    await added(codes);
  };
  return html`
    <${Dialog} title=${passkey ? 'Rename the passkey' : 'Add a passkey'} onClose=${close}>
      <${Form} send=${send} action=${passkey ? 'Save' : 'Go on'} cancel=${close}>
        <${Field} name="name" label="Name" value=${passkey?.name ?? ''} maxlength="120" placeholder="Phone" invalid="Type a name" hint="By which you know it, such as the device." autofocus />
        ${!passkey && html`<p class="hint">Then your browser asks for your fingerprint, face or PIN.</p>`}
      <//>
    <//>
  `;
}

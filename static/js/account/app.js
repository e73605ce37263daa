// Adds an app that shows one-time codes: its secret as a QR code and as text, then its first code.

import { Problem, post, request } from '../api.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form } from '../kit/form.js';
import { html, useEffect, useMemo } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';

/** @typedef {ApiSchema<'TotpSecretView'>} Secret */

/** @param {{added: (codes: string[]) => Promise<void>, close: () => void}} props */
export function AppDialog({ added, close }) {
  const secret = useLoad(() => request('POST', '/api/account/totp'), []);
  return html`
    <${Dialog} title="Add an app" onClose=${close}>
      <${Show} of=${secret}>${(/** @type {Secret} */ made) => html`<${Confirm} secret=${made} added=${added} close=${close} />`}<//>
    <//>
  `;
}

/** @param {{secret: Secret, added: (codes: string[]) => Promise<void>, close: () => void}} props */
function Confirm({ secret: { secret, uri, qr }, added, close }) {
  // As an image, so that nothing in it becomes part of the page.
  const picture = useMemo(() => URL.createObjectURL(new Blob([qr], { type: 'image/svg+xml' })), [qr]);
  useEffect(() => () => URL.revokeObjectURL(picture), [picture]);
  const send = async (/** @type {Record<string, string>} */ data) => {
    try {
      const { recovery_codes: codes } = await post('/api/account/totp/confirm', { code: (data.code ?? '').replaceAll(/\s/gu, '') });
      await added(codes);
    } catch (error) {
      throw error instanceof Problem && error.code === 'wrong_second_factor' ? besideCode(error) : error;
    }
  };
  return html`
    <ol class="plain-list">
      <li>Open the app on your phone and let it scan this picture.</li>
      <li>Type the six digits that it shows.</li>
    </ol>
    <img class="qr" src=${picture} width="200" height="200" alt="QR code with the secret for the app" />
    <details class="small">
      <summary>The app cannot scan it</summary>
      <p>Type this secret into the app: <code class="secret-text">${secret.replaceAll(/(.{4})(?=.)/gu, '$1 ')}</code></p>
      <p>On this device: <a href=${uri}>open the app</a>.</p>
    </details>
    <${Form} send=${send} action="Turn it on" cancel=${close}>
      <${Field} name="code" label="Six digits of the app" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9 ]{6,8}" maxlength="8" invalid="Type the six digits that the app shows" autofocus />
    <//>
  `;
}

/** Shows a wrong code beside its field. @param {Problem} problem */
export const besideCode = ({ status, body, message }) => new Problem(status, { ...body, errors: [{ field: 'code', detail: message }] }, null);

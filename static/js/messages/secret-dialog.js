// The secret of a webhook, which is shown once, and how receivers verify messages with it.

import { Dialog } from '../kit/dialog.js';
import { Notice } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Secret } from '../kit/secret.js';
import { dateTime } from '../ui/time.js';

/** @param {{webhook: ApiSchema<'SecretView'>, close: () => void}} props */
export const SecretDialog = ({ webhook: { name, secret, old_secret_until: until }, close }) => html`
  <${Dialog} title=${`The secret of ${name}`} onClose=${close} sheet>
    <${Notice} kind="warn"><strong>Copy it now: it is not shown again.</strong> With it, the receiver verifies that a message is from Rollcall.<//>
    <${Secret} label="Secret" value=${secret} hint=${until && `Until ${dateTime(until)}, messages are also signed with the previous secret. Give the receiver the new one until then, and no message is lost.`} />
    <${Verifying} />
    <div class="actions end"><button class="button primary" type="button" data-close>Done</button></div>
  <//>
`;

const PYTHON = `import base64, hashlib, hmac, time

def verify(secret: str, headers: dict, body: bytes) -> bool:
    id = headers["webhook-id"]
    timestamp = headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers["webhook-signature"].split(" ")
    return any(hmac.compare_digest(expected, one) for one in given)`;

/** How a receiver verifies messages. */
export const Verifying = () => html`
  <details class="verifying">
    <summary>How the receiver verifies a message</summary>
    <div class="section">
      <p>Messages follow <a href="https://www.standardwebhooks.com" target="_blank" rel="noopener noreferrer">Standard Webhooks</a>: give its library for your language the secret, the headers and the body as it came. By hand, in Python:</p>
      <pre class="code" tabindex="0" role="region" aria-label="Example in Python">${PYTHON}</pre>
      <p>A message can arrive more than once. Its <code>webhook-id</code> stays the same, so the receiver ignores those that it knows. It accepts a message with any status from 200 to 299, within 15 seconds.</p>
    </div>
  </details>
`;

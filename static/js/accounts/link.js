// A link that was just created: it is shown once, to be passed on.

import { encodeQR } from '/static/vendor/qr/index.js';
import { Notice } from '../kit/basics.js';
import { html, useMemo } from '../kit/html.js';
import { Secret } from '../kit/secret.js';
import { dateTime } from '../ui/time.js';

/** @typedef {ApiSchema<'SentView'>} Sent */

/** Names and addresses under which a computer finds only itself. */
const ITSELF = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/u;

/** @param {{sent: Sent}} props */
export function Link({ sent: { link, email, expires_at: until } }) {
  if (!link) return html`<${Notice} kind="good">The link was sent to ${email}.<//>`;
  const { href, hostname } = new URL(link, location.origin);
  return html`
    <${Notice} kind="good">The link is ready. Rollcall did not send it: pass it on yourself, in a way that only this person can read.<//>
    ${ITSELF.test(hostname) && html`<${Notice} kind="warn"><strong>This link works only on this computer</strong>, because you opened Rollcall at ${hostname}. Open Rollcall under the address that other people use, or set PUBLIC_URL, and create a new link.<//>`}
    <${Secret} label="Link" value=${href} hint=${`This link is shown only once. It can be used once, until ${dateTime(until)}. You can create a new one at any time.`} />
    <${Code} text=${href} />
  `;
}

/** The QR code of a link, for the phone of a person who is beside the screen. @param {{text: string}} props */
function Code({ text }) {
  const picture = useMemo(() => encodeQR(text, 'data-url', { scale: 4, border: 4 }), [text]);
  return html`
    <figure class="qr-code">
      <img class="qr" src=${picture} width="200" height="200" alt="QR code of the link" />
      <figcaption class="hint">If the person is here, let them scan this with their phone.</figcaption>
    </figure>
  `;
}

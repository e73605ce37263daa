// A link that was just made: it is shown once, to be passed on.

import { Notice } from '../kit/basics.js';
import { html, useId, useRef } from '../kit/html.js';
import { copyFrom } from '../ui/copy.js';
import { dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'SentView'>} Sent */

/** @param {{sent: Sent}} props */
export function Link({ sent: { link, email, expires_at: until } }) {
  const id = useId();
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copy = async () => {
    if (!input.current) return;
    toast((await copyFrom(input.current)) ? 'Copied' : 'Press Ctrl+C to copy it');
  };
  return html`
    <${Notice} kind="good">${!link ? `The link was sent to ${email}.` : 'The link is made. Rollcall did not send it: pass it on yourself, in a way that only this person can read.'}<//>
    ${link && html`<div class="field">
      <label for=${id}>Link</label>
      <input ref=${input} class="input" id=${id} readonly value=${new URL(link, location.origin).href} aria-describedby=${`${id}-hint`} />
      <p class="hint" id=${`${id}-hint`}>It is shown only now, works once, and until ${dateTime(until)}. You can make a new one at any time.</p>
    </div>
    <div class="actions"><button class="button" type="button" onClick=${copy}>Copy the link</button></div>`}
  `;
}

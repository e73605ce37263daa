// A secret that is shown once, with a button to copy it.

import { copyFrom } from '../ui/copy.js';
import { toast } from '../ui/toast.js';
import { Icon } from './basics.js';
import { html, useId, useRef } from './html.js';

/** @param {{label: string, value: string, hint?: import('./html.js').Children}} props */
export function Secret({ label, value, hint }) {
  const id = useId();
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copy = async () => {
    if (input.current) toast((await copyFrom(input.current)) ? 'Copied' : 'Press Ctrl+C to copy it');
  };
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <div class="secret">
        <input ref=${input} class="input" id=${id} readonly value=${value} aria-describedby=${hint ? `${id}-hint` : undefined} />
        <button class="button" type="button" onClick=${copy}><${Icon} name="copy" />Copy<span class="visually-hidden"> ${label}</span></button>
      </div>
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </div>
  `;
}

// Forms that show what the service refused beside its field.

import { onSubmit } from '../ui/form.js';
import { html, useEffect, useId, useRef } from './html.js';

/** @typedef {import('./html.js').Children} Children */

/**
 * A form. Its fields are read when it is sent: `send` gets their values by name, and throws what the service answered.
 * @param {{send: (data: Record<string, string>) => Promise<unknown>, action: string, danger?: boolean, cancel?: () => void, children?: Children}} props `action` is the text of the button
 */
export function Form({ send, action, danger, cancel, children }) {
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const latest = useRef(send);
  latest.current = send;
  useEffect(() => {
    if (form.current) onSubmit(form.current, async (data) => void (await latest.current(data)));
  }, []);
  return html`
    <form ref=${form} class="form">
      ${children}
      <div class="actions end">
        ${cancel && html`<button class="button" type="button" onClick=${cancel}>Cancel</button>`}
        <button class=${`button ${danger ? 'danger' : 'primary'}`} type="submit">${action}</button>
      </div>
    </form>
  `;
}

/**
 * A field with its label: an `<input>`, or with `options` a `<select>`. Other properties are those of the element.
 * @param {{name: string, label: string, hint?: Children, optional?: boolean, options?: [value: string, text: string][], invalid?: string, value?: string, [other: string]: unknown}} props `invalid` says what to type; `value` is the first value, which does not replace what was typed when the page is drawn again
 */
export function Field({ name, label, hint, optional, options, invalid, value, ...rest }) {
  const id = useId();
  const described = hint ? `${id}-hint` : undefined;
  const shared = { id, name, class: 'input', 'aria-describedby': described, 'data-invalid': invalid, required: !optional, ...rest };
  const choices = options?.map(([choice, text]) => html`<option value=${choice} selected=${choice === value}>${text}</option>`);
  return html`
    <div class="field">
      <label for=${id}>${label}${optional && html` <span class="optional">(optional)</span>`}</label>
      ${choices ? html`<select ...${shared}>${choices}</select>` : html`<input autocomplete="off" defaultValue=${value} ...${shared} />`}
      ${hint && html`<p class="hint" id=${described}>${hint}</p>`}
    </div>
  `;
}

/**
 * A box to tick. Its value in the form's data is `on`, or missing.
 * @param {{name: string, label: string, hint?: Children, checked?: boolean, [other: string]: unknown}} props
 */
export function Check({ name, label, hint, checked, ...rest }) {
  const id = useId();
  const described = hint ? `${id}-hint` : undefined;
  return html`
    <div class="field">
      <label class="check"><input type="checkbox" name=${name} defaultChecked=${checked} aria-describedby=${described} ...${rest} /> <span>${label}</span></label>
      ${hint && html`<p class="hint" id=${described}>${hint}</p>`}
    </div>
  `;
}

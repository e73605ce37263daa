// Forms that show what the service refused beside its field.

import { Problem } from '../api.js';
import { onSubmit } from '../ui/form.js';
import { html, useEffect, useId, useRef, useState } from './html.js';

/** @typedef {import('./html.js').Children} Children */

/**
 * A form. Its fields are read when it is sent: `send` gets their values by name, and throws what the service answered.
 * @param {{send: (data: Record<string, string>) => Promise<unknown>, action: string, danger?: boolean, cancel?: () => void, cancelText?: string, children?: Children}} props `action` is the text of the button
 */
export function Form({ send, action, danger, cancel, cancelText = 'Cancel', children }) {
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
        ${cancel && html`<button class="button" type="button" onClick=${cancel}>${cancelText}</button>`}
        <button class=${`button ${danger ? 'danger' : 'primary'}`} type="submit">${action}</button>
      </div>
    </form>
  `;
}

/**
 * A field with its label: an `<input>`, or with `options` a `<select>`. Other properties are those of the element.
 * @param {{name: string, label: string, hint?: Children, optional?: boolean, options?: [value: string, text: string][], invalid?: string, value?: string, [other: string]: unknown}} props `invalid` says what to type; `value` is the first value, which does not replace what was typed when the page is drawn again, or with `onInput` the present one
 */
export function Field({ name, label, hint, optional, options, invalid, value, ...rest }) {
  const id = useId();
  const described = hint ? `${id}-hint` : undefined;
  const present = rest.onInput ? { value } : { defaultValue: value };
  const shared = { id, name, class: 'input', 'aria-describedby': described, 'data-invalid': invalid, required: !optional, ...rest };
  const choices = options?.map(([choice, text]) => html`<option value=${choice} selected=${choice === value}>${text}</option>`);
  return html`
    <div class="field">
      <label for=${id}>${label}${optional && html` <span class="optional">(optional)</span>`}</label>
      ${choices ? html`<select ...${rest.onInput ? { value } : {}} ...${shared}>${choices}</select>` : html`<input autocomplete="off" ...${present} ...${shared} />`}
      ${hint && html`<p class="hint" id=${described}>${hint}</p>`}
    </div>
  `;
}

/**
 * A box to tick. Its value in the form's data is `on`, or missing. `checked` is as the `value` of a `Field`, with `onChange`.
 * @param {{name: string, label: string, hint?: Children, checked?: boolean, [other: string]: unknown}} props
 */
export function Check({ name, label, hint, checked, ...rest }) {
  const id = useId();
  const described = hint ? `${id}-hint` : undefined;
  return html`
    <div class="field">
      <label class="check"><input type="checkbox" name=${name} ...${rest.onChange ? { checked } : { defaultChecked: checked }} aria-describedby=${described} ...${rest} /> <span>${label}</span></label>
      ${hint && html`<p class="hint" id=${described}>${hint}</p>`}
    </div>
  `;
}

/** What is wrong with a field, for `send` of a form to throw. @param {string} field @param {string} detail */
export const fieldProblem = (field, detail) => new Problem(422, { errors: [{ field, detail }] }, null);

/**
 * One of several choices, which are all shown. Its name is that of the field in the API.
 * @param {{name: string, label: string, hint?: Children, value: string, options: [value: string, text: string, hint?: Children][], choose: (value: string) => void}} props
 */
export function Choice({ name, label, hint, value, options, choose }) {
  const id = useId();
  const option = (/** @type {[string, string, Children?]} */ [one, text, about]) => html`
    <div key=${one}>
      <label class="check"><input type="radio" name=${name} value=${one} checked=${one === value} aria-describedby=${about ? `${id}-${one}` : undefined} onChange=${() => choose(one)} /> <span>${text}</span></label>
      ${about && html`<div class="hint" id=${`${id}-${one}`}>${about}</div>`}
    </div>
  `;
  return html`
    <fieldset class="field" aria-describedby=${hint ? `${id}-hint` : undefined}>
      <legend class="label">${label}</legend>
      ${options.map(option)}
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </fieldset>
  `;
}

/**
 * Fields that belong together. With a `name`, what the service refuses of them as a whole is shown below them.
 * @param {{label: string, name?: string, hint?: Children, children?: Children}} props
 */
export function Group({ label, name, hint, children }) {
  const id = useId();
  return html`
    <fieldset class="field group" name=${name} tabindex=${name ? '-1' : undefined} aria-describedby=${hint ? `${id}-hint` : undefined}>
      <legend class="label">${label}</legend>
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
      ${children}
    </fieldset>
  `;
}

/**
 * What is typed into a form that shows at once what it means. `bind(name)` has the properties of a `Field`, `tick(name)`
 * those of a `Check`.
 * @template {Record<string, any>} Draft
 * @param {Draft | (() => Draft)} initial
 */
export function useDraft(initial) {
  const [draft, setDraft] = useState(initial);
  const change = (/** @type {Partial<Draft>} */ changes) => setDraft((/** @type {Draft} */ old) => ({ ...old, ...changes }));
  const typed = (/** @type {string} */ name) => (/** @type {{currentTarget: HTMLInputElement}} */ event) => change(/** @type {Partial<Draft>} */ ({ [name]: event.currentTarget.value }));
  const ticked = (/** @type {string} */ name) => (/** @type {{currentTarget: HTMLInputElement}} */ event) => change(/** @type {Partial<Draft>} */ ({ [name]: event.currentTarget.checked }));
  return {
    draft,
    change,
    bind: (/** @type {keyof Draft & string} */ name) => ({ name, value: draft[name], onInput: typed(name) }),
    tick: (/** @type {keyof Draft & string} */ name) => ({ name, checked: draft[name], onChange: ticked(name) }),
  };
}

// Forms: sends each form once, and shows server errors beside their fields.

import { Problem, explain } from '../api.js';
import { el, notice } from './dom.js';

/** Fields of problems that do not mention their field. @type {Record<string, string>} */
const FIELD_OF_CODE = { code_taken: 'code', name_taken: 'name', bad_setup_token: 'token' };

/** Details of fields that are not written for people. @type {Record<string, string>} */
const WORDS_OF_CODE = { wrong_password: 'this is not the password of your account' };

/**
 * Runs `send` when the form is submitted. The submit button is busy meanwhile, and the form shows a problem.
 * @param {HTMLFormElement} form
 * @param {(data: Record<string, string>) => Promise<void>} send
 */
export function onSubmit(form, send) {
  form.noValidate = true;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    clearErrors(form);
    if (!checkFields(form)) return;
    const button = /** @type {HTMLButtonElement} */ (form.querySelector('[type="submit"]'));
    await busy(button, async () => {
      try {
        const data = Object.fromEntries([...new FormData(form)].map(([key, value]) => [key, String(value)]));
        await send(data);
      } catch (error) {
        showProblem(form, error);
      }
    });
  });
}

/**
 * Disables a button while `work` runs.
 * @template T
 * @param {HTMLButtonElement} button
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute('aria-busy');
  }
}

/**
 * Removes the errors of an earlier attempt.
 * @param {HTMLFormElement} form
 */
export function clearErrors(form) {
  for (const node of form.querySelectorAll('.field-error, .form-error')) node.remove();
  for (const input of form.querySelectorAll('[aria-invalid]')) {
    input.removeAttribute('aria-invalid');
    restoreDescription(input);
  }
}

/**
 * Shows a problem: beside the fields it mentions, otherwise at the top of the form.
 * @param {HTMLFormElement} form
 * @param {unknown} error
 */
export function showProblem(form, error) {
  const field = error instanceof Problem && FIELD_OF_CODE[error.code];
  /** @type {import('../api.js').FieldProblem[]} */
  const errors = field ? [{ field, detail: error.message }] : error instanceof Problem ? error.errors : [];
  const unplaced = errors.filter(({ field, code, detail }) => !fieldError(form, field, WORDS_OF_CODE[code ?? ''] ?? detail));
  if (errors.length === 0 || unplaced.length > 0) {
    const words = errors.length === 0 ? explain(error) : unplaced.map(({ detail }) => detail).join('; ');
    const shown = el('div', { class: 'form-error' }, notice('bad', sentence(words)));
    form.prepend(shown);
    // The button can be a screen below it.
    shown.scrollIntoView({ block: 'center' });
  }
  focusFirst(form);
}

/**
 * Says what failed, with a button that tries again.
 * @param {unknown} error
 * @param {() => Promise<void>} again
 */
export function failure(error, again) {
  const button = el('button', { class: 'button', type: 'button', text: 'Try again', onclick: () => busy(button, again) });
  return notice('bad', sentence(explain(error)), el('div', { class: 'actions' }, button));
}

/** @param {HTMLFormElement} form */
function checkFields(form) {
  let valid = true;
  for (const input of form.querySelectorAll('input, select')) {
    const field = /** @type {HTMLInputElement} */ (input);
    if (!field.name || field.checkValidity()) continue;
    valid = false;
    fieldError(form, field.name, field.dataset.invalid ?? field.validationMessage);
  }
  if (!valid) focusFirst(form);
  return valid;
}

/**
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {string} detail
 */
function fieldError(form, name, detail) {
  const input = form.elements.namedItem(name);
  if (!(input instanceof HTMLElement)) return false;
  const id = `${input.id || name}-error`;
  input.setAttribute('aria-invalid', 'true');
  input.dataset.described = input.getAttribute('aria-describedby') ?? '';
  input.setAttribute('aria-describedby', `${id} ${input.dataset.described}`.trim());
  (input.closest('.field') ?? input.parentElement)?.append(el('p', { class: 'field-error', id, text: sentence(detail) }));
  return true;
}

/** @param {Element} input */
function restoreDescription(input) {
  const described = /** @type {HTMLElement} */ (input).dataset.described;
  if (described) input.setAttribute('aria-describedby', described);
  else input.removeAttribute('aria-describedby');
}

/** @param {HTMLFormElement} form */
function focusFirst(form) {
  const first = form.querySelector('[aria-invalid="true"]');
  if (first instanceof HTMLElement) first.focus();
}

/**
 * Capitalizes a server message, which is lowercase and unpunctuated.
 * @param {string} words
 */
export function sentence(words) {
  return words.charAt(0).toLocaleUpperCase() + words.slice(1);
}

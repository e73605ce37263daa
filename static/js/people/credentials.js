// The PIN and the badge of a person: when they were made, and what to do about them.

import { explain, get, put, remove, request } from '../api.js';
import { ask, closable, closeButton } from '../ui/dialog.js';
import { byId, el } from '../ui/dom.js';
import { busy, failure, onSubmit, sentence } from '../ui/form.js';
import { knownSites } from '../ui/sites.js';
import { dateName, dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';
import { issueBadge } from './badges.js';

/** @typedef {{id: string, name: string, code: string, site: string}} Person */

/** The person of the open sheet. */
let shown = '';

/**
 * Shows the PIN and the badge of a person.
 * @param {Person} person
 */
export async function showCredentials(person) {
  shown = person.id;
  const place = byId('credentials');
  try {
    const { pin, badge } = await get(`/api/employees/${encodeURIComponent(person.id)}/credentials`);
    if (shown !== person.id) return;
    place.replaceChildren(...pinPart(person, pin), ...badgePart(person, badge));
  } catch (error) {
    if (shown === person.id) place.replaceChildren(failure(error, () => showCredentials(person)));
  }
}

/**
 * A button that does something for a person, and then shows what they have now.
 * @param {Person} person
 * @param {string} text
 * @param {() => Promise<unknown>} work
 * @param {string} [tone]
 */
function button(person, text, work, tone = '') {
  const made = el('button', { class: `button ${tone}`, type: 'button', text });
  made.addEventListener('click', async () => {
    try {
      await busy(made, work);
    } catch (error) {
      toast(sentence(explain(error)));
    }
    if (shown === person.id) await showCredentials(person);
  });
  return made;
}

/**
 * @param {Person} person
 * @param {ApiSchema<'PinView'> | null | undefined} pin
 */
function pinPart(person, pin) {
  const path = /** @type {const} */ (`/api/employees/${encodeURIComponent(person.id)}/pin`);
  const state = pin ? (pin.locked_at ? `locked since ${dateTime(pin.locked_at)}` : `set on ${dateName(pin.set_at)}`) : 'none';
  const unlock = async () => {
    await request('POST', /** @type {`/api/employees/${string}/pin/unlock`} */ (`${path}/unlock`));
    toast(`The PIN of ${person.name} can be used again`);
  };
  const drop = async () => {
    if (!(await ask({ title: `Remove the PIN of ${person.name}?`, text: 'The person cannot punch with it from now on.', action: 'Remove the PIN' }))) return;
    await remove(path);
    toast('The PIN was removed');
  };
  return [
    el('dl', { class: 'facts' }, el('div', {}, el('dt', { text: 'PIN' }), el('dd', { text: state }))),
    ...(pin?.locked_at ? [el('p', { class: 'soft small', text: 'It was wrong five times in a row. It stays locked until a manager unlocks it, or until a new one is set.' })] : []),
    el(
      'div',
      { class: 'actions' },
      pin?.locked_at && button(person, 'Unlock the PIN', unlock, 'primary'),
      button(person, pin ? 'Change the PIN' : 'Set a PIN', () => changePin(person)),
      pin && button(person, 'Remove the PIN', drop, 'danger'),
    ),
  ];
}

/**
 * @param {Person} person
 * @param {ApiSchema<'BadgeView'> | null | undefined} badge
 */
function badgePart(person, badge) {
  const drop = async () => {
    if (!(await ask({ title: `Revoke the badge of ${person.name}?`, text: 'Nobody can punch with it from now on.', action: 'Revoke the badge' }))) return;
    await remove(`/api/employees/${encodeURIComponent(person.id)}/badge`);
    toast('The badge was revoked');
  };
  return [
    el('dl', { class: 'facts' }, el('div', {}, el('dt', { text: 'Badge' }), el('dd', { text: badge ? `issued on ${dateName(badge.issued_at)}` : 'none' }))),
    el(
      'div',
      { class: 'actions' },
      button(person, badge ? 'Issue a new badge' : 'Issue a badge', () => issueBadge(person, Boolean(badge))),
      badge && button(person, 'Revoke the badge', drop, 'danger'),
    ),
  ];
}

/**
 * Asks for a PIN, or generates a random one and shows it once. Resolves when the dialog is closed.
 * @param {Person} person
 * @returns {Promise<void>}
 */
function changePin({ id, name, site }) {
  const digits = knownSites().find((one) => one.id === site)?.pin_digits;
  const count = digits ? `${digits} digits` : '4 to 8 digits';
  return new Promise((resolve) => {
    const set = (/** @type {{pin?: string}} */ wanted) => put(`/api/employees/${encodeURIComponent(id)}/pin`, wanted);
    const input = el('input', { class: 'input', id: 'new-pin', name: 'pin', inputmode: 'numeric', pattern: `[0-9]{${digits ?? '4,8'}}`, maxlength: digits ?? 8, required: true, autocomplete: 'off', 'data-invalid': `Type ${count}`, 'aria-describedby': 'new-pin-hint' });
    const random = el('button', { class: 'button', type: 'button', text: 'Generate a random PIN' });
    const form = el(
      'form',
      { class: 'dialog-body form' },
      el(
        'div',
        { class: 'field' },
        el('label', { for: 'new-pin', text: `PIN for ${name}` }),
        input,
        el('p', { class: 'hint', id: 'new-pin-hint', text: `A PIN has ${count}${digits ? ' at this site' : ''}. Let the person type a PIN that only they know, or generate a random one.` }),
      ),
      el('div', { class: 'actions end' }, random, el('button', { class: 'button primary', type: 'submit', text: 'Set this PIN' })),
    );
    const dialog = el('dialog', { 'aria-labelledby': 'pin-title' }, el('div', { class: 'dialog-head' }, el('h2', { id: 'pin-title', text: 'Set a PIN' }), closeButton()), form);
    onSubmit(form, async ({ pin }) => {
      await set({ pin });
      dialog.close();
      toast(`The PIN of ${name} was set`);
    });
    random.addEventListener('click', async () => {
      try {
        const { pin } = await busy(random, () => set({}));
        form.replaceChildren(
          el('p', { text: `The PIN of ${name} is` }),
          el('output', { class: 'new-pin', text: pin ?? '' }),
          el('p', { class: 'soft', text: 'Tell it to the person now: Rollcall does not show it again.' }),
          el('div', { class: 'actions end' }, el('button', { class: 'button primary', type: 'button', 'data-close': true, autofocus: true, text: 'Done' })),
        );
        form.querySelector('button')?.focus();
      } catch (error) {
        toast(sentence(explain(error)));
      }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve();
    });
    document.body.append(closable(dialog));
    dialog.showModal();
    input.focus();
  });
}

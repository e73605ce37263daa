// Asks a person who is signed in to prove again who they are, for changes that need it.

import { readAnswer, send } from '../api.js';
import { closable, closeButton } from './dialog.js';
import { el } from './dom.js';
import { onSubmit } from './form.js';

/**
 * Asks for the password until it is right, or the person gives up.
 * @returns {Promise<boolean>} whether the session is confirmed
 */
export function confirmIdentity() {
  return new Promise((resolve) => {
    const form = el(
      'form',
      { class: 'dialog-body stack' },
      el('p', { id: 'confirm-text', class: 'soft', text: 'This change needs your password, because you signed in a while ago.' }),
      el(
        'div',
        { class: 'field' },
        el('label', { for: 'confirm-password', text: 'Password' }),
        el('input', {
          class: 'input',
          id: 'confirm-password',
          name: 'password',
          type: 'password',
          autocomplete: 'current-password',
          required: true,
          autofocus: true,
          'data-invalid': 'Type your password',
        }),
      ),
      el(
        'div',
        { class: 'actions end' },
        el('button', { class: 'button', type: 'button', 'data-close': true, text: 'Cancel' }),
        el('button', { class: 'button primary', type: 'submit', text: 'Confirm' }),
      ),
    );
    const dialog = el(
      'dialog',
      { 'aria-labelledby': 'confirm-title', 'aria-describedby': 'confirm-text' },
      el('div', { class: 'dialog-head' }, el('h2', { id: 'confirm-title', text: 'Confirm that it is you' }), closeButton()),
      form,
    );
    onSubmit(form, async ({ password }) => {
      await readAnswer(await send('POST', '/api/session/confirm', { json: { password } }));
      dialog.close('yes');
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(closable(dialog));
    dialog.showModal();
  });
}

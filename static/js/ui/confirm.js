// Asks the person to prove again who they are, before a change that an unattended browser must not make.

import { request } from '../api.js';
import { currentAccount } from '../session.js';
import { closable, closeButton } from './dialog.js';
import { el } from './dom.js';
import { onSubmit } from './form.js';

/** The dialog that is open: several requests at once need one answer. @type {Promise<boolean> | undefined} */
let asking;

/** Shows the dialog. Returns whether the service now knows that it is the person. */
export function confirmed() {
  asking ??= ask().finally(() => (asking = undefined));
  return asking;
}

/** @returns {Promise<boolean>} */
function ask() {
  // Tells password managers which password to offer.
  const email = el('input', { type: 'email', autocomplete: 'username', hidden: true, disabled: true });
  currentAccount().then(
    (account) => (email.value = account.email),
    () => {}, // the request shows the error
  );
  const here = location.pathname + location.search + location.hash;
  const again = el('a', { href: `/sign-in?next=${encodeURIComponent(here)}`, text: 'sign in again' });
  const form = el(
    'form',
    { class: 'dialog-body form' },
    el('p', { class: 'soft', text: 'Changes like this one need your password if you did not type it in the last 15 minutes.' }),
    email,
    el(
      'div',
      { class: 'field' },
      el('label', { for: 'confirm-password', text: 'Your password' }),
      el('input', { class: 'input', id: 'confirm-password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, autofocus: true, 'data-invalid': 'Type your password' }),
    ),
    el('p', { class: 'hint' }, 'You sign in without a password? Then ', again, '. What is not saved on this page is lost.'),
    el('div', { class: 'actions end' }, el('button', { class: 'button', type: 'button', 'data-close': true, text: 'Cancel' }), el('button', { class: 'button primary', type: 'submit', text: 'Confirm' })),
  );
  const dialog = closable(el('dialog', { 'aria-labelledby': 'confirm-title' }, el('div', { class: 'dialog-head' }, el('h2', { id: 'confirm-title', text: 'Confirm that it is you' }), closeButton()), form));
  return new Promise((resolve) => {
    onSubmit(form, async ({ password }) => {
      await request('POST', '/api/session/confirm', { json: { password } });
      dialog.close('confirmed');
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'confirmed');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

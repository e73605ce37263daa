// Asks the person to prove again who they are, before a change that an unattended browser must not make: with the password,
// and the second step if the account has one; with a passkey; or at the identity provider.

import { get, request } from '../api.js';
import { currentAccount } from '../session.js';
import { closable, closeButton } from './dialog.js';
import { el } from './dom.js';
import { busy, clearErrors, onSubmit, showProblem } from './form.js';
import { hasPasskeys, usePasskey } from './passkeys.js';

/** @typedef {ApiSchema<'ChallengeView'>} Challenge */
/** @typedef {ApiSchema<'MethodsView'>} Methods */

/** The dialog that is open: several requests at once need one answer. @type {Promise<boolean> | undefined} */
let asking;

/** Shows the dialog. Returns whether the service now knows that it is the person. */
export function confirmed() {
  asking ??= ask().finally(() => (asking = undefined));
  return asking;
}

/** @returns {Promise<boolean>} */
async function ask() {
  const [account, methods] = await Promise.all([
    currentAccount().catch(() => ({ email: '', has_password: true })), // the request shows the error
    get('/api/session/methods').catch(() => /** @type {Methods} */ ({ password: true, passkey: false, oidc: null, password_reset: false })),
  ]);
  const form = el('form', { class: 'dialog-body form' });
  const dialog = closable(el('dialog', { 'aria-labelledby': 'confirm-title' }, el('div', { class: 'dialog-head' }, el('h2', { id: 'confirm-title', text: 'Confirm that it is you' }), closeButton()), form));
  /** The second step, once the password is right. @type {Challenge | undefined} */
  let challenge;

  /** @param {any} json */
  const confirm = async (json) => {
    const answer = await request('POST', '/api/session/confirm', { json });
    if (!('ticket' in answer)) return dialog.close('confirmed');
    challenge = answer;
    show(secondStep(answer));
    form.querySelector('input')?.focus();
  };
  /** @param {import('./dom.js').Child[]} parts */
  const show = (parts) => form.replaceChildren(...parts.filter((part) => part != null && part !== false));
  const actions = (/** @type {import('./dom.js').Child[]} */ ...others) =>
    el('div', { class: 'actions end' }, el('button', { class: 'button', type: 'button', 'data-close': true, text: 'Cancel' }), ...others);
  const submit = () => el('button', { class: 'button primary', type: 'submit', text: 'Confirm' });

  /** A button that uses a passkey. @param {() => Promise<{ticket: string, options: any}>} begin */
  const passkeyButton = (begin) => {
    const button = el('button', { class: 'button', type: 'button', text: 'Use a passkey' });
    button.addEventListener('click', async () => {
      clearErrors(form);
      try {
        await busy(button, async () => {
          const { ticket, options } = await begin();
          await confirm({ ticket, credential: await usePasskey(options) });
        });
      } catch (error) {
        showProblem(form, error);
      }
    });
    return button;
  };

  /** Goes to the identity provider, which leads back to this page. @param {string} name */
  const providerButton = (name) => {
    const button = el('button', { class: 'button', type: 'button', text: `Confirm with ${name}` });
    button.addEventListener('click', () => {
      sessionStorage.setItem('rollcall:next', location.pathname + location.search + location.hash);
      location.assign('/api/session/oidc?confirm=true');
    });
    return button;
  };

  const firstStep = () => {
    const { email, has_password: hasPassword } = account;
    const passkey = hasPassword && methods.passkey && hasPasskeys() && passkeyButton(() => request('POST', '/api/session/passkey/begin'));
    const provider = methods.oidc && providerButton(methods.oidc.name);
    return [
      el('p', { class: 'soft', text: 'Changes like this one need a proof that it is you, unless you gave one in the last 15 minutes.' }),
      // Tells password managers which password to offer.
      el('input', { type: 'email', autocomplete: 'username', hidden: true, disabled: true, value: email }),
      hasPassword &&
        el(
          'div',
          { class: 'field' },
          el('label', { for: 'confirm-password', text: 'Your password' }),
          el('input', { class: 'input', id: 'confirm-password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, autofocus: true, 'data-invalid': 'Type your password' }),
        ),
      provider && el('p', { class: 'hint', text: 'What is not saved on this page is lost when you leave it for the provider.' }),
      actions(provider, passkey, hasPassword && submit()),
    ];
  };

  /** @param {Challenge} asked */
  const secondStep = ({ ticket, methods: possible, passkey }) => {
    const typed = possible.some((method) => method !== 'passkey');
    const button = passkey && hasPasskeys() && passkeyButton(async () => ({ ticket, options: passkey }));
    return [
      el('p', { class: 'soft', text: 'Your password is right. Now the second step.' }),
      typed &&
        el(
          'div',
          { class: 'field' },
          el('label', { for: 'confirm-code', text: 'Six digits of your app, or a recovery code' }),
          el('input', { class: 'input', id: 'confirm-code', name: 'code', autocomplete: 'one-time-code', autocapitalize: 'characters', spellcheck: false, required: true, maxlength: 64, 'data-invalid': 'Type the six digits that the app shows, or a recovery code' }),
        ),
      actions(button, typed && submit()),
    ];
  };

  show(firstStep());
  return new Promise((resolve) => {
    onSubmit(form, async ({ password, code = '' }) => {
      if (!challenge) return confirm({ password });
      const proof = code.replaceAll(/\s/gu, '');
      const kind = /^\d{6}$/u.test(proof) ? 'code' : 'recovery_code';
      await confirm({ ticket: challenge.ticket, [kind]: proof });
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'confirmed');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

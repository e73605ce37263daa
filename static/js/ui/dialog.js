// Dialogs on the browser's own `<dialog>`, which keeps the focus inside and returns it afterwards.

import { el, icon } from './dom.js';

/**
 * Makes the close buttons (`data-close`) and the backdrop of a dialog close it. With `mayClose`, they and the Escape key
 * close it only if that agrees.
 * @param {HTMLDialogElement} dialog
 * @param {() => boolean | Promise<boolean>} [mayClose]
 */
export function closable(dialog, mayClose) {
  let asking = false;
  const close = async () => {
    if (asking) return;
    asking = true;
    if (!mayClose || (await mayClose())) dialog.close();
    asking = false;
  };
  dialog.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target === dialog || target.closest('[data-close]')) close();
  });
  if (mayClose) {
    const instead = (/** @type {Event} */ event) => {
      event.preventDefault();
      close();
    };
    dialog.addEventListener('cancel', instead);
    // A browser may close a dialog at the second Escape without the event `cancel`.
    dialog.addEventListener('keydown', (event) => event.key === 'Escape' && instead(event));
  }
  return dialog;
}

/**
 * Asks for confirmation before an action that cannot be undone.
 * @param {{title: string, text: string, action: string, cancel?: string}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, action, cancel = 'Cancel' }) {
  return new Promise((resolve) => {
    const dialog = el(
      'dialog',
      { 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-text' },
      el('div', { class: 'dialog-head' }, el('h2', { id: 'ask-title', text: title }), closeButton()),
      el(
        'div',
        { class: 'dialog-body' },
        el('p', { id: 'ask-text', class: 'soft', text }),
        el(
          'div',
          { class: 'actions end' },
          el('button', { class: 'button', type: 'button', autofocus: true, 'data-close': true, text: cancel }),
          el('button', { class: 'button danger', type: 'button', onclick: () => dialog.close('yes'), text: action }),
        ),
      ),
    );
    const settle = () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    };
    dialog.addEventListener('close', settle);
    document.body.append(closable(dialog));
    // The event `close` can come after the next key press, which would be lost for the dialog below.
    dialog.addEventListener('click', () => dialog.open || settle());
    dialog.showModal();
  });
}

/** Returns the close button for the corner of a dialog. */
export function closeButton() {
  return el('button', { class: 'button plain', type: 'button', 'data-close': true, 'aria-label': 'Close' }, icon('close'));
}

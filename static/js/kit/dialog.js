// A dialog on the browser's own `<dialog>`, which keeps the focus inside and returns it afterwards.

import { closable } from '../ui/dialog.js';
import { Icon } from './basics.js';
import { html, useEffect, useId, useRef } from './html.js';

/**
 * A dialog that is open as long as it is drawn.
 * @param {{title: string, onClose: () => void, sheet?: boolean, children?: import('./html.js').Children}} props `sheet` is a tall one at the side
 */
export function Dialog({ title, onClose, sheet = false, children }) {
  const id = useId();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    if (dialog.current) closable(dialog.current).showModal();
  }, []);
  return html`
    <dialog ref=${dialog} class=${sheet ? 'sheet' : ''} aria-labelledby=${id} onClose=${onClose}>
      <div class="dialog-head">
        <h2 id=${id}>${title}</h2>
        <button class="button plain" type="button" data-close aria-label="Close"><${Icon} name="close" /></button>
      </div>
      <div class="dialog-body">${children}</div>
    </dialog>
  `;
}

// A dialog on the browser's own `<dialog>`, which keeps the focus inside and returns it afterwards.

import { closable } from '../ui/dialog.js';
import { Icon } from './basics.js';
import { html, useCallback, useId, useRef } from './html.js';

/**
 * A dialog that is open as long as it is drawn.
 * @param {{title: string, onClose: () => void, sheet?: boolean, mayClose?: () => boolean | Promise<boolean>, children?: import('./html.js').Children}} props `sheet` is a tall one at the side; `mayClose` is asked before it is closed
 */
export function Dialog({ title, onClose, sheet = false, mayClose, children }) {
  const id = useId();
  const drawn = useRef(true);
  const show = useCallback((/** @type {HTMLDialogElement} */ dialog) => {
    closable(dialog, mayClose).showModal();
    return () => {
      drawn.current = false;
      // Returns the focus to where it was; an effect would be too late for that.
      dialog.close();
    };
  }, []);
  return html`
    <dialog ref=${show} class=${sheet ? 'sheet' : ''} aria-labelledby=${id} onClose=${() => drawn.current && onClose()}>
      <div class="dialog-head">
        <h2 id=${id}>${title}</h2>
        <button class="button plain" type="button" data-close aria-label="Close"><${Icon} name="close" /></button>
      </div>
      <div class="dialog-body">${children}</div>
    </dialog>
  `;
}

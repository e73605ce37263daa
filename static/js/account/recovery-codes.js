// New recovery codes, which are shown once: to copy, download or print.

import { Dialog } from '../kit/dialog.js';
import { html, useRef } from '../kit/html.js';
import { copyFrom } from '../ui/copy.js';
import { ask } from '../ui/dialog.js';
import { toast } from '../ui/toast.js';

/** @param {{email: string, codes: string[], close: () => void}} props */
export function RecoveryCodesDialog({ email, codes, close }) {
  const text = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const copy = async () => {
    if (!text.current) return;
    toast((await copyFrom(text.current)) ? 'Copied' : 'Press Ctrl+C to copy them');
  };
  return html`
    <${Dialog} title="Your recovery codes" onClose=${close} mayClose=${leave}>
      <p><strong>Save these codes now: they are not shown again.</strong> Each signs you in once, instead of the app or passkey.</p>
      <textarea ref=${text} class="input codes" readonly rows=${codes.length} aria-label="Recovery codes" value=${codes.join('\n')}></textarea>
      <div class="actions end">
        <button class="button" type="button" onClick=${copy}>Copy</button>
        <button class="button" type="button" onClick=${() => download(email, codes)}>Download</button>
        <button class="button" type="button" onClick=${() => print(email, codes)}>Print</button>
        <button class="button primary" type="button" onClick=${close}>I have saved them</button>
      </div>
    <//>
  `;
}

/** Asks before the codes are lost. */
const leave = () => ask({ title: 'Close without saving the codes?', text: 'They are not shown again. If you lose your phone, they are the only way to sign in without help.', action: 'Close', cancel: 'Stay' });

/** Saves the codes as a file. @param {string} email @param {string[]} codes */
function download(email, codes) {
  const address = URL.createObjectURL(new Blob([`Rollcall: recovery codes of ${email}\n\n${codes.join('\n')}\n`], { type: 'text/plain' }));
  Object.assign(document.createElement('a'), { href: address, download: 'rollcall-recovery-codes.txt' }).click();
  setTimeout(() => URL.revokeObjectURL(address));
}

/** Prints the codes alone. @param {string} email @param {string[]} codes */
function print(email, codes) {
  const page = document.createElement('section');
  page.className = 'print-alone';
  for (const [tag, text] of [['h1', 'Rollcall: recovery codes'], ['p', `${email}, ${new Date().toLocaleDateString('en', { dateStyle: 'long' })}`], ...codes.map((code) => ['pre', code])]) {
    page.append(Object.assign(document.createElement(String(tag)), { textContent: text }));
  }
  document.body.append(page);
  addEventListener('afterprint', () => page.remove(), { once: true });
  window.print();
}

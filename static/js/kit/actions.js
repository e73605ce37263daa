// Buttons that change something: what the service refuses is shown where they are, and the page is read again.

import { explain } from '../api.js';
import { sentence } from '../ui/form.js';
import { toast } from '../ui/toast.js';
import { Notice } from './basics.js';
import { html, useState } from './html.js';

/**
 * Returns `act`, which makes the listener of a button, and the notice of what went wrong last.
 * @param {() => Promise<unknown>} reload
 */
export function useActions(reload) {
  const [trouble, setTrouble] = useState('');
  /** @param {() => Promise<unknown>} work @param {string} [done] says what was done; not shown if `work` returns `false` */
  const act = (work, done) => async () => {
    setTrouble('');
    try {
      const answer = await work();
      if (done && answer !== false) toast(done);
    } catch (error) {
      setTrouble(sentence(explain(error)));
    }
    await reload();
  };
  return { act, trouble: trouble && html`<${Notice} kind="bad" reveal>${trouble}<//>` };
}

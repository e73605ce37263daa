// Reads something from the service, and reads it again when it changes.

import { explain } from '../api.js';
import { sentence } from '../ui/form.js';
import { Notice } from './basics.js';
import { html, useCallback, useEffect, useRef, useState } from './html.js';

/**
 * What is known of the answer. While it is read again, `data` is still the last answer.
 * @template T
 * @typedef {{data: T | undefined, error: string | undefined, reload: () => Promise<void>}} Loaded
 */

/**
 * Reads with `load` at once, and again when one of `inputs` changes or `reload` is called. Answers that come late are
 * dropped.
 * @template T
 * @param {() => Promise<T>} load
 * @param {unknown[]} inputs
 * @returns {Loaded<T>}
 */
export function useLoad(load, inputs) {
  const [answer, setAnswer] = useState(/** @type {{data?: T, error?: string, key?: string}} */ ({}));
  const turn = useRef(0);
  const key = JSON.stringify(inputs);
  const latest = useRef(load);
  latest.current = load;
  const reload = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const data = await latest.current();
      if (mine === turn.current) setAnswer({ data, key });
    } catch (error) {
      const words = sentence(explain(error));
      if (mine === turn.current) setAnswer((before) => ({ ...before, error: words, key }));
    }
  }, [key]);
  useEffect(() => {
    reload();
  }, [reload]);
  const { data, error } = answer.key === key ? answer : { data: undefined, error: undefined };
  return { data, error, reload };
}

/**
 * Shows what was loaded: an error as a notice, a placeholder while there is no answer yet, else what `children` makes
 * of the answer. After an error, the last answer is still shown.
 * @template T
 * @param {{of: Loaded<T>, children: (data: T) => unknown}} props
 */
export function Show({ of: { data, error }, children }) {
  return html`
    ${error && html`<${Notice} kind="bad">${error}<//>`}
    ${data !== undefined ? children(data) : !error && html`<div class="card"><div class="skeleton" aria-busy="true"><span class="visually-hidden">Loading</span></div></div>`}
  `;
}

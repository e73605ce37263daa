// Reads something from the service, and reads it again when it changes, or when it failed.

import { explain, isTemporary } from '../api.js';
import { sentence } from '../ui/form.js';
import { Button, Notice } from './basics.js';
import { html, useCallback, useEffect, useRef, useState } from './html.js';

/** How soon it is read again while the server cannot answer. */
const AGAIN_MS = 10_000;

/**
 * What is known of the answer. While it is read again, `data` is still the last answer. `lasting` tells that the error
 * stays until something else changes.
 * @template T
 * @typedef {{data: T | undefined, error: string | undefined, lasting?: boolean, reload: () => Promise<void>}} Loaded
 */

/**
 * Calls `reload` again while the error passes by itself.
 * @param {{error?: string, lasting?: boolean}} known a new object for each answer
 * @param {() => unknown} reload
 */
export function useAgain(known, reload) {
  useEffect(() => {
    if (!known.error || known.lasting) return;
    const waiting = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(waiting);
  }, [known, reload]);
}

/** What to show of an error. @param {unknown} error */
export const troubleOf = (error) => ({ error: sentence(explain(error)), lasting: !isTemporary(error) });

/**
 * Reads with `load` at once, and again when one of `inputs` changes, `reload` is called, or the server could not answer.
 * Answers that are older than the one that is shown are dropped.
 * @template T
 * @param {() => Promise<T>} load
 * @param {unknown[]} inputs
 * @returns {Loaded<T>}
 */
export function useLoad(load, inputs) {
  const [answer, setAnswer] = useState(/** @type {{data?: T, error?: string, lasting?: boolean, key?: string}} */ ({}));
  const turn = useRef({ asked: 0, shown: 0 });
  const key = JSON.stringify(inputs);
  const latest = useRef(load);
  latest.current = load;
  const reload = useCallback(async () => {
    const mine = ++turn.current.asked;
    const show = (/** @type {(before: typeof answer) => typeof answer} */ change) => {
      if (mine < turn.current.shown) return;
      turn.current.shown = mine;
      setAnswer(change);
    };
    try {
      const data = await latest.current();
      show(() => ({ data, key }));
    } catch (error) {
      const trouble = troubleOf(error);
      show((before) => ({ data: before.key === key ? before.data : undefined, ...trouble, key }));
    }
  }, [key]);
  useEffect(() => {
    reload();
  }, [reload]);
  useAgain(answer, reload);
  const { data, error, lasting } = answer.key === key ? answer : NOTHING;
  return { data, error, lasting, reload };
}

/** What is known before the first answer. @type {{data?: undefined, error?: undefined, lasting?: undefined}} */
const NOTHING = {};

/** What failed, with a button to try again at once. @param {{of: {error?: string, lasting?: boolean, reload: () => Promise<void>}}} props */
export const Trouble = ({ of: { error, lasting, reload } }) =>
  error && html`<${Notice} kind="bad">${error}${!lasting && html`<div class="actions"><${Button} onClick=${reload}>Try again<//></div>`}<//>`;

/**
 * Shows what was loaded: an error as a notice, a placeholder while there is no answer yet, else what `children` makes
 * of the answer. After an error, the last answer is still shown.
 * @template T
 * @param {{of: Loaded<T>, children: (data: T) => unknown}} props
 */
export function Show({ of, children }) {
  const { data, error } = of;
  return html`
    <${Trouble} of=${of} />
    ${data !== undefined ? children(data) : !error && html`<div class="card"><div class="skeleton" aria-busy="true"><span class="visually-hidden">Loading</span></div></div>`}
  `;
}

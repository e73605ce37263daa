// A list that is read page by page: the first page at once, the next ones on demand.

import { get } from '../api.js';
import { Button, Empty } from './basics.js';
import { html, useCallback, useEffect, useRef, useState } from './html.js';
import { Trouble, troubleOf, useAgain } from './load.js';

/** How long to wait for more typing before the list is read again. */
const PAUSE_MS = 200;

/** @typedef {{key?: string, items?: any[], next?: string | null, error?: string, lasting?: boolean, below?: boolean}} Known */

/**
 * What is known of a list. `below` tells that the error is one of the next page.
 * @template Item
 * @typedef {{items: Item[] | undefined, error?: string, lasting?: boolean, below?: boolean, next?: string | null, reload: () => Promise<void>, more: () => Promise<void>}} Listed
 */

/**
 * Reads the first page of a list, and again when the query changes. `reload` reads as many items as are shown. While the
 * list is read again, the last items are still shown.
 * @template {ApiTarget<'GET'>} Target
 * @param {Target} path
 * @param {Record<string, string>} query
 * @returns {Listed<ApiItem<Target>>}
 */
export function usePages(path, query) {
  const [known, setKnown] = useState(/** @type {Known} */ ({}));
  const turn = useRef(0);
  const latest = useRef(known);
  latest.current = known;
  const key = JSON.stringify(query);
  const read = useCallback(
    async (/** @type {any[]} */ before, /** @type {string | null | undefined} */ cursor, wanted = 0) => {
      const mine = ++turn.current;
      const items = [...before];
      let next = cursor;
      try {
        do {
          const page = /** @type {{items: any[], next?: string | null}} */ (await get(path, { query: { ...JSON.parse(key), cursor: next } }));
          items.push(...page.items);
          next = page.next;
        } while (next && items.length < wanted && mine === turn.current);
        if (mine === turn.current) setKnown({ key, items, next });
      } catch (error) {
        const trouble = troubleOf(error);
        if (mine === turn.current) setKnown((last) => ({ ...(last.key === key && last), key, ...trouble, below: before.length > 0 }));
      }
    },
    [path, key],
  );
  const reload = useCallback(() => read([], undefined, latest.current.key === key ? latest.current.items?.length : 0), [read]);
  const first = useRef(true);
  useEffect(() => {
    const waiting = setTimeout(reload, first.current ? 0 : PAUSE_MS);
    first.current = false;
    return () => clearTimeout(waiting);
  }, [reload]);
  useAgain(known, reload);
  const { items, next, error, lasting, below } = known;
  return { items, next, error, lasting, below, reload, more: () => (known.key === key ? read(items ?? [], next) : reload()) };
}

/** How many of a long list are drawn at first, and how many more each time. */
export const DRAWN = 100;

/**
 * Draws the first items of a long list that is known as a whole, and more on demand.
 * @template Item
 * @param {{of: Item[], children: (items: Item[]) => unknown}} props
 */
export function Some({ of, children }) {
  const [count, setCount] = useState(DRAWN);
  const left = of.length - count;
  return html`${children(of.slice(0, count))}${left > 0 && html`<div class="card-foot"><${Button} onClick=${() => setCount(count + DRAWN)}>Show ${Math.min(left, DRAWN)} more of ${left}<//></div>`}`;
}

/**
 * Shows a list in a card: what failed, a placeholder while there is no answer yet, what to say of an empty list, or what
 * `children` makes of the items; and the button for more.
 * @template Item
 * @param {{of: Listed<Item>, label?: string, empty: string, children: (items: Item[]) => unknown}} props
 */
export function Pages({ of, label, empty, children }) {
  const { items, error, below, next, more } = of;
  const trouble = html`<${Trouble} of=${of} />`;
  return html`
    ${!below && trouble}
    ${
      (items || !error) &&
      html`<section class="card" aria-label=${label}>
        ${!items && html`<div class="skeleton" aria-busy="true"><span class="visually-hidden">Loading</span></div>`}
        ${items?.length === 0 && html`<${Empty}><p>${empty}</p><//>`}
        ${items && items.length > 0 && children(items)}
      </section>`
    }
    ${below && trouble}
    ${next && html`<p class="more"><${Button} onClick=${more}>Show more<//></p>`}
  `;
}

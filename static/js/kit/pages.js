// A list that is read page by page: the first page at once, the next ones on demand.

import { explain, get } from '../api.js';
import { sentence } from '../ui/form.js';
import { Button, Notice } from './basics.js';
import { html, useCallback, useEffect, useRef, useState } from './html.js';

/** How long to wait for more typing before the list is read again. */
const PAUSE_MS = 200;

/**
 * Reads the first page of a list, and again when the query changes. While it is read again, the last items are still shown.
 * @template {ApiTarget<'GET'>} Target
 * @param {Target} path
 * @param {Record<string, string>} query
 * @returns {{items: ApiItem<Target>[] | undefined, error: string, next: string | null | undefined, reload: () => Promise<void>, more: () => Promise<void>}}
 */
export function usePages(path, query) {
  const [known, setKnown] = useState(/** @type {{items?: any[], next?: string | null, error: string}} */ ({ error: '' }));
  const turn = useRef(0);
  const key = JSON.stringify(query);
  const read = useCallback(
    async (/** @type {any[]} */ before, /** @type {string | null | undefined} */ cursor) => {
      const mine = ++turn.current;
      try {
        const page = /** @type {{items: any[], next?: string | null}} */ (await get(path, { query: { ...JSON.parse(key), cursor } }));
        if (mine === turn.current) setKnown({ items: [...before, ...page.items], next: page.next, error: '' });
      } catch (error) {
        const words = sentence(explain(error));
        if (mine === turn.current) setKnown((last) => ({ ...last, error: words }));
      }
    },
    [path, key],
  );
  const reload = useCallback(() => read([], undefined), [read]);
  const first = useRef(true);
  useEffect(() => {
    const waiting = setTimeout(reload, first.current ? 0 : PAUSE_MS);
    first.current = false;
    return () => clearTimeout(waiting);
  }, [reload]);
  const { items, next, error } = known;
  return { items, next, error, reload, more: () => read(items ?? [], next) };
}

/** Shows what failed, and the button for more. @param {{of: {error: string, next?: string | null, more: () => Promise<void>}}} props */
export const More = ({ of: { error, next, more } }) => html`${error && html`<${Notice} kind="bad">${error}<//>`}${next && html`<p class="more"><${Button} onClick=${more}>Show more<//></p>`}`;

// What a page shows is part of its address, so that it can be reloaded, linked and gone back to.

import { signal } from './html.js';

const search = signal(location.search);
addEventListener('popstate', () => {
  search.value = location.search;
});

/** Returns a parameter of the address, or the fallback. A component that asks is drawn again when it changes. */
export function parameter(/** @type {string} */ name, fallback = '') {
  return new URLSearchParams(search.value).get(name) ?? fallback;
}

/**
 * Returns the address with other parameters; an empty value removes one.
 * @param {Record<string, string | null | undefined>} changes
 */
export function addressWith(changes) {
  const all = new URLSearchParams(search.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) all.set(name, value);
    else all.delete(name);
  }
  const query = all.toString();
  return location.pathname + (query && `?${query}`) + location.hash;
}

/**
 * Changes parameters of the address; an empty value removes one.
 * @param {Record<string, string | null | undefined>} changes
 * @param {{stay?: boolean}} [how] `stay` adds no step to the browser's history, for filters that are typed
 */
export function setParameters(changes, { stay = false } = {}) {
  const address = addressWith(changes);
  if (stay) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  search.value = location.search;
}

// The live feed: calls back when something changed, and says whether the feed is there.

import { countAfter } from '../waiting.js';
import { html, useEffect, useRef, useState } from './html.js';

/** The browser reports that an event happened; what came in between was missed. */
const ALWAYS = ['reset', 'open'];
/** Several changes at once lead to one call. */
const GATHER_MS = 150;
/** How soon to follow again after the service has refused the feed: the browser does so only after a lost connection. */
const AGAIN_MS = 5_000;
/** How often to look without an event, in case one was lost. */
const LOOK_MS = 60_000;

/**
 * Follows events while the page is visible, and calls `onNews` after one of them.
 * @param {string[]} names names of events
 * @param {() => unknown} onNews
 * @returns {'live' | 'lost' | 'paused'}
 */
export function useFeed(names, onNews) {
  const [state, setState] = useState(/** @type {'live' | 'lost' | 'paused'} */ ('paused'));
  const latest = useRef(onNews);
  latest.current = onNews;
  const key = names.join();
  useEffect(() => {
    /** @type {EventSource | undefined} */
    let feed;
    /** @type {number | undefined} */
    let waiting;
    /** @type {number | undefined} */
    let again;
    const tell = () => {
      waiting ??= window.setTimeout(() => {
        waiting = undefined;
        latest.current();
      }, GATHER_MS);
    };
    const follow = () => {
      feed?.close();
      feed = undefined;
      window.clearTimeout(again);
      if (document.hidden) return setState('paused');
      feed = new EventSource('/api/events');
      for (const name of [...ALWAYS, ...key.split(',')]) feed.addEventListener(name, tell);
      countAfter(feed);
      feed.addEventListener('open', () => setState('live'));
      feed.addEventListener('error', () => {
        setState('lost');
        tell();
        if (feed?.readyState === EventSource.CLOSED) again = window.setTimeout(follow, AGAIN_MS);
      });
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    const looking = window.setInterval(() => document.hidden || tell(), LOOK_MS);
    return () => {
      feed?.close();
      document.removeEventListener('visibilitychange', follow);
      window.clearInterval(looking);
      window.clearTimeout(waiting);
      window.clearTimeout(again);
    };
  }, [key]);
  return state;
}

const WORDS = { live: 'Live', lost: 'Reconnecting…', paused: 'Paused' };

/** Shows whether the page is up to date. @param {{state: keyof typeof WORDS}} props */
export const LiveState = ({ state }) => html`<p class="live" role="status" data-state=${state}>${WORDS[state]}</p>`;

// Sends bursts to the server: at once, again with the same key, or later out of the saved ones.

import { Problem, Unreachable, readAnswer, send } from '../api.js';
import { newKey, sleep } from './eyes.js';
import { change, forget, listSaved, markRefused } from './saved.js';

const TIMEOUT_MS = 10_000;
const PAUSE_MS = 1000;
/** Somebody who waits in front of the kiosk is not kept longer than this before the punch is saved instead. */
const PATIENCE_MS = 3000;
const DEFAULT_RETRY_MS = 5000;

/**
 * @typedef {object} Answer
 * @property {'punched' | 'cooldown' | 'nobody' | 'no_face' | 'poor_quality' | 'attack' | 'stayed'} outcome `stayed`, of
 *   a saved burst: it shows somebody who had punched and not left
 * @property {{id?: string, employee: string, name: string, kind: string, at: string}} [punch]
 * @property {string} [name]
 * @property {boolean} [more]
 * @property {string} [reason]
 * @property {string} [detail]
 */

/** The server cannot take it now; worth trying again after `wait` milliseconds. */
export class Later extends Error {
  /**
   * @param {number | null} told what the server asked for, seconds; `null` when it said nothing
   * @param {{away?: boolean, failed?: boolean}} [why]
   */
  constructor(told, { away = false, failed = false } = {}) {
    super('the server cannot take it now');
    this.wait = told === null ? DEFAULT_RETRY_MS : told * 1000;
    this.beforeRetry = told === null ? PAUSE_MS : this.wait;
    /** Nothing answers at all. */
    this.away = away;
    /** It answers, and fails at this request. */
    this.failed = failed;
  }
}

/** The token is not, or no longer, that of a device. */
export class Unpaired extends Error {}

/**
 * Begins a pairing: a code to show, and the secret that asks for the token.
 * @returns {Promise<{code: string, secret: string}>}
 * @throws {Later | Problem}
 */
export const beginPairing = () => ask('POST', '/api/pairings');

/**
 * Asks the API as this device.
 * @param {string} token
 * @param {string} method
 * @param {string} path
 * @param {import('../api.js').Options} [options]
 * @throws {Later | Unpaired | Problem}
 */
export function asDevice(token, method, path, options = {}) {
  return ask(method, path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });
}

/**
 * @param {string} method
 * @param {string} path
 * @param {import('../api.js').Options} [options]
 */
async function ask(method, path, options = {}) {
  try {
    return await readAnswer(await send(method, path, { timeout: TIMEOUT_MS, ...options }));
  } catch (error) {
    if (error instanceof Unreachable) throw new Later(null, { away: true });
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) throw new Unpaired();
    if (error.status === 429 || error.status >= 500) throw new Later(error.retryAfter, { failed: error.status === 500 });
    throw error;
  }
}

/** @param {{frames: Blob[]}} burst */
function framesOf({ frames }) {
  const body = new FormData();
  frames.forEach((frame) => body.append('image', frame, 'frame.jpg'));
  return body;
}

/**
 * Posts a burst once.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {{look?: number, captured?: boolean}} [options] `captured`: with the time it was taken, for one sent late
 * @returns {Promise<Answer>}
 */
function post(token, burst, { look = 1, captured = false } = {}) {
  return asDevice(token, 'POST', '/api/punches', {
    body: framesOf(burst),
    query: { captured_at: captured ? new Date(burst.capturedAt).toISOString() : undefined },
    headers: { 'Idempotency-Key': burst.key, 'Rollcall-Look': String(look) },
  });
}

/**
 * Sends a burst while somebody waits for the answer: tries twice with the same key, so that an answer
 * that was lost on the way is given again.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {number} look
 * @returns {Promise<Answer>}
 */
export async function deliver(token, burst, look) {
  try {
    return await post(token, burst, { look });
  } catch (error) {
    if (!(error instanceof Later) || error.beforeRetry > PATIENCE_MS) throw error;
    await sleep(error.beforeRetry);
    return post(token, burst, { look });
  }
}

/** How often the service may fail at one saved burst before the others go on without it. */
const MOST_FAILURES = 3;

/**
 * Sends what was saved, oldest first, and stops at the first that cannot be sent now.
 * @param {string} token
 * @param {import('./presence.js').Presence} presence learns who was there
 * @param {(answer: Answer | null) => void} done told for each that is out of the way; `null` for one that was refused
 * @throws {Later | Unpaired}
 */
export async function deliverSaved(token, presence, done) {
  for (const burst of await listSaved()) {
    if (burst.refused) continue;
    try {
      const sentBefore = burst.look !== undefined;
      const stays = burst.byHand || sentBefore ? null : await whoStays(token, burst, presence);
      const answer = stays ?? (await postSaved(token, burst));
      if (answer.punch) presence.saw(answer.punch.employee, burst.capturedAt, burst.visit, stays ? undefined : answer.punch);
      await forget(burst);
      done(answer);
    } catch (error) {
      if (error instanceof Later && error.failed) {
        const failures = (burst.failures ?? 0) + 1;
        await change({ ...burst, failures });
        if (failures < MOST_FAILURES) throw error;
        await markRefused(burst, 'the service fails at it: its log says why');
      } else if (error instanceof Problem) {
        await markRefused(burst, error.message);
      } else throw error;
      done(null);
    }
  }
}

/**
 * The answer for a burst that motion set off and that shows somebody who had punched and not left, as they would not
 * have been punched again with a connection; `null` for any other.
 * @param {string} token
 * @param {import('./saved.js').Saved} burst
 * @param {import('./presence.js').Presence} presence
 * @returns {Promise<Answer | null>}
 */
async function whoStays(token, burst, presence) {
  for (const employee of presence.at(burst.capturedAt, burst.visit)) {
    if (!(await isOne(token, employee, burst.frames))) continue;
    const { name = '', kind = 'in', at = '' } = presence.lastOf(employee) ?? {};
    return { outcome: 'stayed', punch: { employee, name, kind, at } };
  }
  return null;
}

/**
 * Whether frames show this employee; false also when there is no face to compare, or nobody enrolled any more.
 * @param {string} token
 * @param {string} employee
 * @param {Blob[]} frames
 * @throws {Later | Unpaired}
 */
export async function isOne(token, employee, frames) {
  const body = framesOf({ frames });
  body.append('employee', employee);
  try {
    return (await asDevice(token, 'POST', '/api/verify', { body })).match;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

/**
 * Sends a saved burst with the time it was taken.
 * @param {string} token
 * @param {import('./saved.js').Saved} burst
 */
async function postSaved(token, burst) {
  try {
    return await post(token, burst, { captured: true });
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'idempotency_key_reused') throw error;
  }
  // It had arrived, and its answer was lost: the same question gets that answer.
  const first = await post(token, burst, { look: burst.look });
  if (first.punch) return first;
  // No punch came of it then, and nobody could look again: asked anew, under a key of its own.
  Object.assign(burst, { key: newKey(), look: undefined });
  await change(burst);
  return post(token, burst, { captured: true });
}

// Sends bursts to the server: at once, again with the same key, or later out of the saved ones.

import { Problem, Unreachable, readAnswer, send } from '../api.js';
import { sleep } from './eyes.js';
import { forget, listSaved, markRefused } from './saved.js';

const TIMEOUT_MS = 10_000;
const PAUSE_MS = 1000;
/** Somebody who waits in front of the kiosk is not kept longer than this before the punch is saved instead. */
const PATIENCE_MS = 3000;
const DEFAULT_RETRY_MS = 5000;

/**
 * @typedef {object} Answer
 * @property {'punched' | 'cooldown' | 'nobody' | 'no_face' | 'poor_quality' | 'attack'} outcome
 * @property {{id: string, employee: string, name: string, kind: string, at: string}} [punch]
 * @property {string} [name]
 * @property {boolean} [more]
 * @property {string} [reason]
 * @property {string} [detail]
 */

/** The server cannot take it now; worth trying again after `wait` milliseconds. */
export class Later extends Error {
  /** @param {number | null} told what the server asked for, seconds; `null` when it said nothing */
  constructor(told) {
    super('the server cannot take it now');
    this.wait = told === null ? DEFAULT_RETRY_MS : told * 1000;
    this.beforeRetry = told === null ? PAUSE_MS : this.wait;
  }
}

/** The token is not, or no longer, that of a device. */
export class Unpaired extends Error {}

/**
 * Asks the API as this device.
 * @param {string} token
 * @param {string} method
 * @param {string} path
 * @param {import('../api.js').Options} [options]
 * @throws {Later | Unpaired | Problem}
 */
export async function asDevice(token, method, path, options = {}) {
  try {
    const headers = { ...options.headers, Authorization: `Bearer ${token}` };
    return await readAnswer(await send(method, path, { timeout: TIMEOUT_MS, ...options, headers }));
  } catch (error) {
    if (error instanceof Unreachable) throw new Later(null);
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) throw new Unpaired();
    if (error.status === 429 || error.status >= 500) throw new Later(error.retryAfter);
    throw error;
  }
}

/**
 * Posts a burst once.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {{look?: number, captured?: boolean}} [options] `captured`: with the time it was taken, for one sent late
 * @returns {Promise<Answer>}
 */
function post(token, burst, { look = 1, captured = false } = {}) {
  const body = new FormData();
  burst.frames.forEach((frame) => body.append('image', frame, 'frame.jpg'));
  return asDevice(token, 'POST', '/api/punches', {
    body,
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

/**
 * Sends what was saved, oldest first, and stops at the first that cannot be sent now.
 * @param {string} token
 * @param {(answer: Answer | null, burst: import('./saved.js').Saved) => void} done told for each that is out of the way;
 *   `null` for one that was refused or answered before
 * @throws {Later | Unpaired}
 */
export async function deliverSaved(token, done) {
  for (const burst of await listSaved()) {
    if (burst.refused) continue;
    try {
      const answer = await post(token, burst, { captured: true });
      await forget(burst);
      done(answer, burst);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // The key was used by the first attempt, whose answer was lost: it is recorded already.
      if (error.code === 'idempotency_key_reused') await forget(burst);
      else await markRefused(burst, error.message);
      done(null, burst);
    }
  }
}

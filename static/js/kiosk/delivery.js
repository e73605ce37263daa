// Sends bursts to the server: at once, again with the same key, or later from the saved ones.

import { Problem, Unreachable, readAnswer, send } from '../api.js';
import { newKey, sleep } from './eyes.js';
import { change, forget, listSaved, markRefused } from './saved.js';

const TIMEOUT_MS = 10_000;
const PAUSE_MS = 1000;
/** A person waits in front of the kiosk no longer than this before the punch is saved instead. */
const PATIENCE_MS = 3000;
const DEFAULT_RETRY_MS = 5000;

/**
 * The answer of the API, or of the kiosk with the outcome `stayed`: a saved burst shows a person who had punched and
 * not left.
 * @typedef {Pick<ApiSchema<'AnswerView'>, 'outcome' | 'name' | 'more' | 'detail'> & {punch?: Punch | null}} Answer
 * @typedef {Pick<ApiSchema<'PunchView'>, 'employee' | 'name' | 'kind' | 'at'>} Punch
 */

/** The server cannot accept the request now; retry after `wait` milliseconds. */
export class Later extends Error {
  /**
   * @param {number | null} retryAfter the `Retry-After` of the server, seconds; `null` if there was none
   * @param {{away?: boolean, failed?: boolean}} [why]
   */
  constructor(retryAfter, { away = false, failed = false } = {}) {
    super('the server cannot accept the request now');
    this.wait = retryAfter === null ? DEFAULT_RETRY_MS : retryAfter * 1000;
    this.beforeRetry = retryAfter === null ? PAUSE_MS : this.wait;
    /** The server does not answer. */
    this.away = away;
    /** The server answers, but fails at this request. */
    this.failed = failed;
  }
}

/** No device has this token, or no longer. */
export class Unpaired extends Error {}

/**
 * Starts a pairing: returns a code to show and the secret to get the token with.
 * @throws {Later | Problem}
 */
export const beginPairing = () => ask('POST', '/api/pairings');

/**
 * Calls the API as this device.
 * @template {ApiMethod} Method
 * @template {ApiTarget<Method>} Target
 * @param {string} token
 * @param {Method} method
 * @param {Target} path
 * @param {import('../api.js').Options} [options]
 * @throws {Later | Unpaired | Problem}
 */
export function asDevice(token, method, path, options = {}) {
  return ask(method, path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });
}

/**
 * @template {ApiMethod} Method
 * @template {ApiTarget<Method>} Target
 * @param {Method} method
 * @param {Target} path
 * @param {import('../api.js').Options} [options]
 * @returns {Promise<ApiAnswer<Method, Target>>}
 */
async function ask(method, path, options = {}) {
  try {
    return /** @type {ApiAnswer<Method, Target>} */ (await readAnswer(await send(method, path, { timeout: TIMEOUT_MS, ...options })));
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
  for (const frame of frames) body.append('image', frame, 'frame.jpg');
  return body;
}

/**
 * Posts a burst once.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {{look?: number, captured?: boolean}} [options] `captured`: send the capture time, for a late burst
 * @returns {Promise<Answer>}
 */
function post(token, burst, { look = 1, captured = false } = {}) {
  return asDevice(token, 'POST', '/api/punches', {
    body: framesOf(burst),
    query: captured ? { captured_at: new Date(burst.capturedAt).toISOString(), sent_at: new Date().toISOString() } : {},
    headers: { 'Idempotency-Key': burst.key, 'Rollcall-Look': String(look) },
  });
}

/**
 * Sends a burst while a person waits for the answer. Tries twice with the same key, so that the server repeats an
 * answer that was lost on the way.
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

/** After this many failures of the service at one saved burst, the kiosk skips it. */
const MOST_FAILURES = 3;

/**
 * Sends saved bursts, oldest first, and stops at the first that cannot be sent now.
 * @param {string} token
 * @param {import('./presence.js').Presence} presence learns who was there
 * @param {(answer: Answer | null) => void} done called for each finished burst; `null` if it was refused
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
        await markRefused(burst, 'the service failed at it: see the log of the service');
      } else if (error instanceof Problem) {
        await markRefused(burst, error.message);
      } else throw error;
      done(null);
    }
  }
}

/**
 * Returns an answer for a burst that motion triggered and that shows a person who had punched and not left: online
 * they would not have been punched again. Returns `null` for any other burst.
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
 * Checks whether frames show this employee; false also if there is no face to compare or no enrollment.
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
 * Sends a saved burst with its capture time.
 * @param {string} token
 * @param {import('./saved.js').Saved} burst
 */
async function postSaved(token, burst) {
  try {
    return await post(token, burst, { captured: true });
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'idempotency_key_reused') throw error;
  }
  // The burst had arrived and its answer was lost: the same request gets that answer again.
  const first = await post(token, burst, { look: burst.look });
  if (first.punch) return first;
  // It had caused no punch, and no second look was possible: sends it again under a new key.
  Object.assign(burst, { key: newKey(), look: undefined });
  await change(burst);
  return post(token, burst, { captured: true });
}

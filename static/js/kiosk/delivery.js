// Sends bursts, PINs and badges to the server: at once, again with the same key, or later from the saved ones.

import { Problem, Unreachable, readAnswer, send } from '../api.js';
import { newKey, sleep } from './eyes.js';
import { change, forget, listSaved, markRefused } from './saved.js';
import { unseal } from './seal.js';

const TIMEOUT_MS = 10_000;
const PAUSE_MS = 1000;
/** A person waits in front of the kiosk no longer than this before the punch is saved instead. */
const PATIENCE_MS = 3000;
const DEFAULT_RETRY_MS = 5000;

/**
 * The answer of the API, or of the kiosk about a saved burst, with the outcome `stayed` (it shows a person who had
 * punched and not left) or `refused`.
 * @typedef {Pick<ApiSchema<'AnswerView'>, 'outcome' | 'name' | 'more' | 'detail'> & {punch?: Punch | null}} Answer
 * @typedef {Pick<ApiSchema<'PunchView'>, 'employee' | 'name' | 'kind' | 'at'> & {id?: string}} Punch
 * @typedef {import('./seal.js').Secret} Secret
 */

/** The server cannot accept the request now; retry after `wait` milliseconds. */
export class Later extends Error {
  /**
   * @param {number | null} retryAfter the `Retry-After` of the server, seconds; `null` if there was none
   * @param {{away?: boolean, failed?: boolean, limited?: boolean}} [why]
   */
  constructor(retryAfter, { away = false, failed = false, limited = false } = {}) {
    super('the server cannot accept the request now');
    this.wait = retryAfter === null ? DEFAULT_RETRY_MS : retryAfter * 1000;
    this.beforeRetry = retryAfter === null ? PAUSE_MS : this.wait;
    /** The server does not answer. */
    this.away = away;
    /** The server answers, but fails at this request. */
    this.failed = failed;
    /** The server answers, but accepts no more of these requests from this device for a while. */
    this.limited = limited;
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
    const response = await send(method, path, { timeout: TIMEOUT_MS, ...options });
    const answer = /** @type {ApiAnswer<Method, Target>} */ (await readAnswer(response));
    if (answer === null && response.status !== 204) throw new Unreachable();
    return answer;
  } catch (error) {
    if (error instanceof Unreachable) throw new Later(null, { away: true });
    if (!(error instanceof Problem)) throw error;
    // The service says why it refuses. A proxy before a stopped service does not, whatever its status.
    if (!error.code) throw new Later(error.retryAfter, { away: true });
    if (error.status === 401) throw new Unpaired();
    if (error.status === 429 || error.status >= 500) throw new Later(error.retryAfter, { failed: error.status === 500, limited: error.status === 429 });
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
 * How to send a burst. `captured`: send the capture time, for a late burst; `secret`: the PIN or badge; `insteadOf`: the
 * punch of another person that was taken back.
 * @typedef {{look?: number, captured?: boolean, secret?: Secret | null, insteadOf?: string}} Manner
 */

/**
 * Posts a burst once.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {Manner} [manner]
 * @returns {Promise<Answer>}
 */
function post(token, burst, { look = 1, captured = false, secret, insteadOf } = {}) {
  const times = captured ? { captured_at: new Date(burst.capturedAt).toISOString(), sent_at: new Date().toISOString() } : {};
  const query = { ...times, ...(insteadOf && { instead_of: insteadOf }) };
  const headers = { 'Idempotency-Key': burst.key, 'Rollcall-Look': String(look) };
  if (secret && burst.frames.length === 0) return asDevice(token, 'POST', 'badge' in secret ? '/api/punches/badge' : '/api/punches/pin', { json: { ...secret, ...query }, headers });
  const body = framesOf(burst);
  // Never in the address.
  for (const [name, value] of Object.entries(secret ?? {})) body.append(name, value);
  return asDevice(token, 'POST', '/api/punches', { body, query, headers });
}

/**
 * Sends a burst while a person waits for the answer. Tries twice with the same key, so that the server repeats an
 * answer that was lost on the way.
 * @param {string} token
 * @param {import('./eyes.js').Burst} burst
 * @param {Manner} [manner]
 * @returns {Promise<Answer>}
 */
export async function deliver(token, burst, manner) {
  try {
    return await post(token, burst, manner);
  } catch (error) {
    if (!(error instanceof Later) || error.beforeRetry > PATIENCE_MS) throw error;
    await sleep(error.beforeRetry);
    return post(token, burst, manner);
  }
}

/** After this many failures of the service at one saved burst, the kiosk skips it. */
const MOST_FAILURES = 3;
/** If the service cannot take over a refused punch, the kiosk asks again after this time. */
const HAND_OVER_MS = 60_000;

/** The service accepts no PIN from this device before this time, because too many were wrong. */
let noPinsBefore = 0;
/** The service takes over no refused punch before this time. */
let noneBefore = 0;

/** The answer for a saved burst that the service refused. @type {Answer} */
const REFUSED = { outcome: 'refused' };
/** What a person who did not press the button is not concerned by: there may have been no person. */
const PERHAPS_NOBODY = ['no_face', 'poor_quality', 'attack'];

/**
 * Sends saved bursts, oldest first, and stops at the first that cannot be sent now. PINs that the service does not
 * accept now do not keep others waiting. Hands those that it refuses over to it, for a manager.
 * @param {import('./pairing.js').Pairing} pairing
 * @param {import('./presence.js').Presence} presence learns who was there
 * @param {(answer: Answer) => void} done called for each finished burst
 * @throws {Later | Unpaired}
 */
export async function deliverSaved({ token, keepsFaces }, presence, done) {
  for (const burst of await listSaved()) {
    if (burst.refused) continue;
    const secret = burst.sealed && (await unseal(burst.sealed));
    // An older page did not save it.
    burst.how ??= howOf(burst.sealed, secret);
    if (burst.how === 'pin' && Date.now() < noPinsBefore) continue;
    const code = secret && 'code' in secret ? secret.code : undefined;
    const refuse = async (/** @type {string} */ why) => {
      await markRefused(burst, why, { code, keepsFaces });
      done(REFUSED);
    };
    try {
      if (secret === null) {
        await refuse('unreadable');
        continue;
      }
      const sentBefore = burst.look !== undefined;
      const stays = burst.byHand || sentBefore ? null : await whoStays(token, burst, presence);
      const answer = stays ?? (await postSaved(token, burst, secret));
      if (answer.punch) presence.saw(answer.punch.employee, burst.capturedAt, burst.visit, stays ? undefined : answer.punch);
      // The person left before the answer, so a manager has to find out who it was.
      if (!answer.punch && (burst.byHand || !PERHAPS_NOBODY.includes(answer.outcome))) {
        await refuse(answer.outcome);
        continue;
      }
      await forget(burst);
      done(answer);
    } catch (error) {
      if (burst.how === 'pin' && error instanceof Later && error.limited) {
        noPinsBefore = Date.now() + error.wait;
        continue;
      }
      if (error instanceof Later && error.failed) {
        const failures = (burst.failures ?? 0) + 1;
        await change({ ...burst, failures });
        if (failures < MOST_FAILURES) throw error;
        await refuse('failed');
      } else if (error instanceof Problem) {
        await refuse('refused');
      } else throw error;
    }
  }
  await handOver(token);
}

/**
 * @param {import('./seal.js').Sealed | undefined} sealed
 * @param {Secret | null | undefined} secret
 */
function howOf(sealed, secret) {
  if (!sealed) return 'face';
  return secret && 'badge' in secret ? 'badge' : 'pin';
}

/**
 * Hands over the refused bursts, and forgets them.
 * @param {string} token
 * @throws {Later | Unpaired}
 */
async function handOver(token) {
  for (const burst of await listSaved()) {
    if (!burst.refused || burst.stays) continue;
    if (Date.now() < noneBefore) return;
    try {
      await asDevice(token, 'POST', '/api/device/refused-punches', { body: refusalOf(burst), headers: { 'Idempotency-Key': burst.key } });
      await forget(burst);
    } catch (error) {
      const later = error instanceof Later ? error : null;
      if (later?.away || !(later || error instanceof Problem)) throw error;
      if (error instanceof Problem && error.status === 422) {
        await change({ ...burst, stays: true });
        continue;
      }
      // The picture may be what it fails at.
      if (later?.failed && burst.frames.length > 0) await change({ ...burst, frames: [] });
      noneBefore = Date.now() + Math.max(later?.wait ?? 0, HAND_OVER_MS);
    }
  }
}

/**
 * An older page saved no `how`, a sentence as `refused`, and all frames.
 * @param {import('./saved.js').Saved} burst
 */
function refusalOf({ how: known, refused = '', capturedAt, code, frames }) {
  const how = known ?? (code ? 'pin' : 'face');
  const reason = /^[a-z_]+$/u.test(refused) ? refused : 'refused';
  const body = framesOf({ frames: how === 'face' ? frames.slice(0, 1) : [] });
  const fields = { how, reason, captured_at: new Date(capturedAt).toISOString(), sent_at: new Date().toISOString(), ...(code && { code }) };
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
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
 * @param {Secret} [secret]
 */
async function postSaved(token, burst, secret) {
  const { look, insteadOf } = burst;
  try {
    return await post(token, burst, { captured: true, secret, insteadOf });
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'idempotency_key_reused') throw error;
  }
  // The burst had arrived and its answer was lost: the same request gets that answer again.
  const first = await post(token, burst, { look, secret, insteadOf });
  if (first.punch) return first;
  // It had caused no punch, and no second look was possible: sends it again under a new key.
  Object.assign(burst, { key: newKey(), look: undefined });
  await change(burst);
  return post(token, burst, { captured: true, secret, insteadOf });
}

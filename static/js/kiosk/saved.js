// Keeps punches that could not be sent in this browser's database until the server has accepted them.

import { openStore } from './database.js';
import { unseal } from './seal.js';

/** Most bursts that are kept (about 300 KB each); the last ones are for people who press the button. */
export const MOST_SAVED = 2000;
export const MOST_BY_MOTION = 1800;

/** Most PINs that are kept within an hour: a person every 30 seconds, so that nobody fills this kiosk with others' numbers. */
const MOST_PINS = 120;
/** Of these for one staff number: in, out and a break between them. */
const MOST_OF_NUMBER = 4;
const HOUR_MS = 3_600_000;

/**
 * `how`: what the person punched with; `byHand`: the person pressed the button; `visit`: the view's visit at the
 * capture; `look`: the look that it was sent as, without an answer; `failures`: how often the service failed at it;
 * `sealed`: the PIN or badge; `insteadOf`: the punch of another person that was taken back.
 * @typedef {import('./eyes.js').Burst & {how: 'face' | 'pin' | 'badge', byHand: boolean, visit?: number, look?: number, failures?: number, sealed?: import('./seal.js').Sealed, insteadOf?: string}} Kept
 */

/**
 * `refused`: why the service refused the punch; `code`: the staff number, of a refused one only; `stays`: whether the
 * service does not take it over for a manager either.
 * @typedef {Kept & {id: number, refused?: string, code?: string, stays?: boolean}} Saved
 */

const within = openStore('rollcall-kiosk', 'bursts', { keyPath: 'id', autoIncrement: true });

/** @returns {Promise<number>} */
export const countSaved = () => within('readonly', (store) => store.count());

/** Lists all saved bursts in the order of capture. @returns {Promise<Saved[]>} */
export const listSaved = () => within('readonly', (store) => store.getAll());

/** @param {Kept} burst */
export const save = (burst) => within('readwrite', (store) => store.add(burst));

/** @param {Saved} burst */
export const forget = (burst) => within('readwrite', (store) => store.delete(burst.id));

/** Replaces a saved burst. @param {Saved} burst */
export const change = (burst) => within('readwrite', (store) => store.put(burst));

/**
 * Marks a burst that the service refused, until it takes it over for a manager. The PIN or badge and the frames do not
 * stay, except one frame of a face if the service keeps pictures of unknown faces.
 * @param {Saved} burst
 * @param {string} refused
 * @param {{code?: string, keepsFaces?: boolean}} [more]
 * @returns {Promise<Saved>}
 */
export async function markRefused({ sealed: _, frames, ...burst }, refused, { code, keepsFaces = false } = {}) {
  const middle = frames.length >> 1;
  const marked = { ...burst, refused, frames: keepsFaces && burst.how === 'face' ? frames.slice(middle, middle + 1) : [], ...(code && { code }) };
  await change(marked);
  return marked;
}

/**
 * Returns why another PIN of a staff number is not kept now, or `null` if it is.
 * @param {string} code
 */
export async function tooManyPins(code) {
  const now = Date.now();
  const recent = (await listSaved()).flatMap(({ how, sealed, capturedAt }) => (how === 'pin' && sealed && now - capturedAt < HOUR_MS ? [sealed] : []));
  if (recent.length >= MOST_PINS) return 'Too many PINs were typed at this kiosk.';
  const codes = (await Promise.all(recent.map(unseal))).map((secret) => secret && 'code' in secret && secret.code.toUpperCase());
  const same = codes.filter((other) => other === code.toUpperCase()).length;
  return same < MOST_OF_NUMBER ? null : `This kiosk has already saved ${MOST_OF_NUMBER} punches with this number in the last hour.`;
}

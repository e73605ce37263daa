// Keeps punches that could not be sent in this browser's database until the server has accepted them.

import { openStore } from './database.js';

/** Most bursts that are kept (about 300 KB each); the last ones are for people who press the button. */
export const MOST_SAVED = 2000;
export const MOST_BY_MOTION = 1800;

/**
 * `byHand`: the person pressed the button; `visit`: the view's visit at the capture; `look`: the look that it was sent
 * as, without an answer; `failures`: how often the service failed at it; `sealed`: the PIN or badge;
 * `insteadOf`: the punch of another person that was taken back.
 * @typedef {import('./eyes.js').Burst & {byHand: boolean, visit?: number, look?: number, failures?: number, sealed?: import('./seal.js').Sealed, insteadOf?: string}} Kept
 * @typedef {Kept & {id: number, refused?: string, code?: string}} Saved
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
 * Marks a burst that the server will never accept; it stays saved, so that an admin can find out why. The PIN or badge
 * does not stay, only the staff number.
 * @param {Saved} burst
 * @param {string} why
 * @param {string} [code]
 */
export const markRefused = ({ sealed: _, ...burst }, why, code) => change({ ...burst, refused: why, ...(code && { code }) });

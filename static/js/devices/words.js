// What an admin should know about a device, in words.

import { dateName } from '../ui/time.js';

/** @typedef {ApiSchema<'DeviceView'>} Device */

/** A clock that differs by more than this is worth a word, milliseconds. */
const CLOCK_OFF_MS = 30_000;
/** A token that ends within this time is worth a word; kiosks renew theirs long before. */
const TOKEN_ENDS_MS = 30 * 24 * 3_600_000;

/** Returns what is not as it should be. @param {Device} device */
export function troubles({ silent, status, token_expires_at: ends }) {
  return [
    silent && 'Silent',
    status?.camera === 'off' && 'Camera off',
    status && status.unsent > 0 && `${status.unsent} saved`,
    status && status.refused > 0 && `${status.refused} refused`,
    status && Math.abs(status.clock_offset_ms) > CLOCK_OFF_MS && `Clock ${clockWords(status.clock_offset_ms)}`,
    ends && endsSoon(ends) && (hasEnded(ends) ? 'Token ended' : `Token ends ${dateName(ends)}`),
  ].filter((word) => typeof word === 'string');
}

/** Whether a token has ended, or ends soon. @param {string} ends */
export const endsSoon = (ends) => Date.parse(ends) - Date.now() < TOKEN_ENDS_MS;
/** @param {string} ends */
export const hasEnded = (ends) => Date.parse(ends) < Date.now();

/** "right", or "2 min behind". @param {number} offset how far it is ahead, milliseconds */
export function clockWords(offset) {
  const off = Math.abs(offset);
  if (off <= CLOCK_OFF_MS) return 'right';
  const minutes = Math.round(off / 60_000);
  const length = minutes < 1 ? `${Math.round(off / 1000)} s` : minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return `${length} ${offset > 0 ? 'ahead' : 'behind'}`;
}

// Seals PINs and codes of badges that wait for the server, with a key that leaves neither this browser nor its database.

import { openStore } from './database.js';

const ALGORITHM = 'AES-GCM';
const KEY = 'key';
const NONCE_BYTES = 12;

/**
 * What a person typed or showed.
 * @typedef {{code: string, pin: string} | {badge: string}} Secret
 * @typedef {{nonce: Uint8Array<ArrayBuffer>, sealed: ArrayBuffer}} Sealed
 */

const within = openStore('rollcall-kiosk-key', 'keys');

/** Returns the key, which scripts can use but not read. @returns {Promise<CryptoKey>} */
async function ownKey() {
  const kept = await within('readonly', (store) => store.get(KEY));
  if (kept) return kept;
  const made = await crypto.subtle.generateKey({ name: ALGORITHM, length: 256 }, false, ['encrypt', 'decrypt']);
  // Another tab of this browser may have been first; then its key stays.
  await within('readwrite', (store) => store.add(made, KEY)).catch(() => {});
  return within('readonly', (store) => store.get(KEY));
}

/**
 * @param {Secret} secret
 * @returns {Promise<Sealed>}
 */
export async function seal(secret) {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const text = new TextEncoder().encode(JSON.stringify(secret));
  return { nonce, sealed: await crypto.subtle.encrypt({ name: ALGORITHM, iv: nonce }, await ownKey(), text) };
}

/**
 * @param {Sealed} kept
 * @returns {Promise<Secret | null>} `null` if the key is another one now
 */
export async function unseal({ nonce, sealed }) {
  try {
    const text = await crypto.subtle.decrypt({ name: ALGORITHM, iv: nonce }, await ownKey(), sealed);
    return JSON.parse(new TextDecoder().decode(text));
  } catch {
    return null;
  }
}

// The kiosk's pairing: the token arrives once, in the fragment of the address, and stays in this browser.

const KEY = 'rollcall.kiosk';

/**
 * What the kiosk knows of its site. `both`: it asks for the face and a PIN or badge; `keepsFaces`: the service keeps
 * pictures of unknown faces; `consent`: what people agree to who enroll themselves here, if they can; `zone`: the time zone of the site; `release`: the version of the service when
 * the kiosk last met it.
 * @typedef {{token: string, release?: string, name?: string, site?: string | null, zone?: string | null, both?: boolean, keepsFaces?: boolean, consent?: {version: string, text: string} | null}} Pairing
 */

/**
 * Returns the token in the address, or `null`, and removes it from the address.
 * @returns {string | null}
 */
export function takeTokenFromAddress() {
  const token = location.hash.slice(1);
  if (token === '') return null;
  history.replaceState(null, '', location.pathname);
  return tokenIn(token);
}

/**
 * Returns the token from pasted text: a pairing link or the token alone.
 * @param {string} pasted
 */
export function tokenIn(pasted) {
  return pasted.trim().replace(/^.*#/su, '');
}

/** @returns {Pairing | null} */
export function loadPairing() {
  try {
    const pairing = JSON.parse(localStorage.getItem(KEY) ?? 'null');
    return typeof pairing?.token === 'string' ? pairing : null;
  } catch {
    return null;
  }
}

/** @param {Pairing} pairing */
export function savePairing(pairing) {
  localStorage.setItem(KEY, JSON.stringify(pairing));
}

export function forgetPairing() {
  localStorage.removeItem(KEY);
}

// The kiosk's pairing: its token comes in the address's fragment, once, and stays in this browser.

const KEY = 'rollcall.kiosk';

/** @typedef {{token: string, name?: string, site?: string | null}} Pairing */

/**
 * The token in the address, which is taken out of it at once; `null` when there is none.
 * @returns {string | null}
 */
export function takeTokenFromAddress() {
  const token = location.hash.slice(1);
  if (token === '') return null;
  history.replaceState(null, '', location.pathname);
  return tokenIn(token);
}

/**
 * The token in what somebody pasted: a pairing link or the bare token.
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

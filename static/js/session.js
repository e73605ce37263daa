// Who is signed in on this page, and what they may do.

import { get, remove } from './api.js';

/** @typedef {{id: string, email: string, name: string, role: 'admin' | 'manager' | 'viewer'}} Account */

/** @type {Promise<Account> | undefined} */
let asked;

/**
 * The account that is signed in; leads to the sign-in page when there is none.
 * @returns {Promise<Account>}
 */
export function currentAccount() {
  asked ??= get('/api/session').then(({ account }) => account);
  asked.catch(() => (asked = undefined));
  return asked;
}

/**
 * What the page offers to a role. The server decides; this only keeps buttons away that it would refuse.
 * @param {Account} account
 */
export function abilities({ role }) {
  return {
    edit: role === 'admin' || role === 'manager',
    look: role === 'admin' || role === 'manager',
    enroll: role === 'admin',
    administer: role === 'admin',
  };
}

/** Ends the session and leaves for the sign-in page. */
export async function signOut() {
  await remove('/api/session');
  location.replace('/sign-in');
}

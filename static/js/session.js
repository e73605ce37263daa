// The signed-in account and what it can do.

import { get, isTemporary, remove } from './api.js';

/** @typedef {ApiSchema<'AccountView'>} Account */

/** @type {Promise<Account> | undefined} */
let asked;

/**
 * Returns the signed-in account. If there is none, goes to the sign-in page.
 * @returns {Promise<Account>}
 */
export function currentAccount() {
  if (!asked) {
    asked = get('/api/session').then(({ account }) => account);
    asked.catch(() => (asked = undefined));
  }
  return asked;
}

/** How soon to ask again who is signed in. */
const AGAIN_MS = 10_000;

/** Returns the signed-in account as soon as the service answers, for what has no button to try again. */
export async function persistentAccount() {
  for (;;) {
    try {
      return await currentAccount();
    } catch (error) {
      if (!isTemporary(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/**
 * Returns what a page offers to an account. The server decides; this only hides what it would refuse.
 * @param {Account} account
 */
export function abilities({ permissions }) {
  return {
    survey: permissions.includes('survey'),
    edit: permissions.includes('correct'),
    request: permissions.includes('request'),
    look: permissions.includes('look'),
    enroll: permissions.includes('enroll'),
    invite: permissions.includes('invite'),
    administer: permissions.includes('administer'),
  };
}

/**
 * Returns what an account may do and where, in words: "manager of Harbor, employee".
 * @param {Account} account
 */
export function describeGrants({ grants }) {
  return grants.map(({ role, site_name }) => (site_name ? `${role} of ${site_name}` : role)).join(', ');
}

/** Ends the session and goes to the sign-in page. */
export async function signOut() {
  await remove('/api/session');
  location.replace('/sign-in');
}

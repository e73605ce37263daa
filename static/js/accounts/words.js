// What accounts may do, in words.

import { dateTime } from '../ui/time.js';

/** @typedef {ApiSchema<'GrantView'>} Grant */
/** @typedef {ApiSchema<'ManagedAccountView'>} Managed an account */

/** The roles: their names, and what they may do. @type {Record<string, [name: string, meaning: string]>} */
export const ROLES = {
  admin: ['Admin', 'Everything, everywhere: people, faces, devices, rules, accounts.'],
  manager: ['Manager', 'Sees people and hours, corrects punches, decides on requests and approves timesheets.'],
  viewer: ['Viewer', 'Sees people and hours, and changes nothing.'],
  employee: ['Employee', 'Sees their own hours, and asks for corrections and leave.'],
};

/** "Admin" @param {string} role */
export const roleName = (role) => ROLES[role]?.[0] ?? role;

/** "Manager of Harbor, Employee" @param {Grant[]} grants */
export const grantWords = (grants) => grants.map(({ role, site_name: site }) => (site ? `${roleName(role)} of ${site}` : roleName(role))).join(', ') || 'No role';

/** "Nov 21, 2026, 09:01", or "Never". @param {string | null | undefined} at */
export const lastSignIn = (at) => (at ? dateTime(at) : 'Never');

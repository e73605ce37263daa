// Sites, for pages that show or choose one. With a single site, pages neither name nor offer it.

import { get } from '../api.js';
import { abilities, currentAccount } from '../session.js';
import { el } from './dom.js';

/** @typedef {ApiSchema<'SiteView'>} Site */

/** @type {Site[]} */
let known = [];

/** Reads the sites that the account may see, by name: none for an employee. */
export async function loadSites() {
  /** @type {Site[]} */
  const sites = [];
  /** @type {string | null | undefined} */
  let cursor;
  const { survey } = abilities(await currentAccount());
  for (let more = survey; more; more = Boolean(cursor)) {
    const page = await get('/api/sites', { query: { cursor } });
    sites.push(...page.items);
    cursor = page.next;
  }
  known = sites;
  return sites;
}

/** Returns the sites as last read. */
export const knownSites = () => known;

/**
 * Returns the name of a record's site, or nothing if there is only one site.
 * @param {{site_name: string}} record
 */
export const siteNote = ({ site_name: name }) => (known.length > 1 ? name : '');

/**
 * Offers the sites in a picker and chooses that of a record, or the default site. With a single site, hides the field.
 * @param {HTMLSelectElement} picker
 * @param {{site: string, site_name: string} | null} [record]
 */
export function offerSites(picker, record) {
  const sites = known.map(({ id, name }) => ({ id, name }));
  // The record's site may have been added or removed meanwhile.
  if (record && !sites.some(({ id }) => id === record.site)) sites.push({ id: record.site, name: record.site_name });
  const chosen = record?.site ?? known.find((site) => site.is_default)?.id;
  picker.replaceChildren(...sites.map(({ id, name }) => el('option', { value: id, text: name, selected: id === chosen })));
  const field = /** @type {HTMLElement} */ (picker.closest('.field') ?? picker);
  field.hidden = sites.length < 2;
}

// A list of what an office manager keeps, such as shifts: each with its words, and buttons to add, change and remove.

import { explain, remove } from '../api.js';
import { Empty, Icon } from '../kit/basics.js';
import { html, useState } from '../kit/html.js';
import { ask } from '../ui/dialog.js';
import { sentence } from '../ui/form.js';
import { toast } from '../ui/toast.js';

/** @typedef {import('../kit/html.js').Children} Children */
/** @typedef {{id: string, name: string}} Named */
/** @typedef {{survey: boolean, edit: boolean, administer: boolean}} Abilities */
/** @typedef {{sites: ApiSchema<'SiteView'>[], can: Abilities, everywhere: boolean}} PartProps what every part of the plans gets; `everywhere`: whether the account may change what is for all sites */

/**
 * @template {Named} Entry
 * @param {{one: string, many: string, about: string, items: Entry[], may: boolean, mayChange?: (entry: Entry) => boolean, note: (entry: Entry) => Children, side?: (entry: Entry) => Children,
 *   form: (entry: Entry | null, done: (name: string) => Promise<void>, close: () => void) => Children,
 *   address: (id: string) => ApiTarget<'DELETE'>, loss: string, reload: () => Promise<void>, before?: Children, blocked?: Children}} props
 *   `one` and `many` name entries ("shift", "shifts"), `about` explains the list, `may`: whether the account may add one, `mayChange` which it may change, by default all; `loss` says what removing means, `blocked` why none can be added
 */
export function Entries({ one, many, about, items, may, mayChange = () => may, note, side, form, address, loss, reload, before, blocked }) {
  const [open, setOpen] = useState(/** @type {Entry | null | undefined} */ (undefined));
  const close = () => setOpen(undefined);
  const done = async (/** @type {string} */ name) => {
    close();
    await reload();
    // Only now, so that it is not part of the dialog.
    toast(open ? `${name} was saved` : `${name} was added`);
  };
  const drop = async (/** @type {Entry} */ { id, name }) => {
    if (!(await ask({ title: `Remove ${name}?`, text: loss, action: 'Remove' }))) return;
    try {
      await remove(address(id));
      toast(`${name} was removed`);
    } catch (error) {
      toast(sentence(explain(error)));
    }
    await reload();
  };
  return html`
    <div class="part-head">
      <p class="soft">${about}</p>
      ${may && !blocked && html`<button class="button primary" type="button" onClick=${() => setOpen(null)}><${Icon} name="plus" />Add a ${one}</button>`}
    </div>
    ${may && blocked}
    ${before}
    <section class="card" aria-label=${sentence(many)}>
      ${items.length === 0 && html`<${Empty}><p>There is no ${one} yet.</p><//>`}
      <ul class="rows">
        ${items.map(
          (entry) => html`<li key=${entry.id} data-entry=${entry.id}>
            <div class="row">
              <div class="row-main"><span class="row-title">${entry.name}</span><span class="row-note wrap">${note(entry)}</span></div>
              ${side?.(entry)}
              ${
                mayChange(entry) &&
                html`<button class="button" type="button" aria-label=${`Change ${entry.name}`} onClick=${() => setOpen(entry)}>Change</button>
                  <button class="button danger" type="button" aria-label=${`Remove ${entry.name}`} onClick=${() => drop(entry)}>Remove</button>`
              }
            </div>
          </li>`,
        )}
      </ul>
    </section>
    ${open !== undefined && form(open, done, close)}
  `;
}

/** The site of an entry to choose, if there are several. @param {{sites: ApiSchema<'SiteView'>[], bind: (name: 'site') => object}} props */
export const siteField = ({ sites, bind }) => ({ label: 'Site', options: sites.map(({ id, name }) => [id, name]), ...bind('site') });

/** Returns the site that a new entry is for. @param {ApiSchema<'SiteView'>[]} sites */
export const usualSite = (sites) => (sites.find((site) => site.is_default) ?? sites[0])?.id ?? '';

/**
 * Returns the name of a site before other words, if there are several sites.
 * @param {ApiSchema<'SiteView'>[]} sites
 * @param {string} id
 */
export const sitePrefix = (sites, id) => (sites.length > 1 ? `${sites.find((site) => site.id === id)?.name ?? 'another site'} · ` : '');

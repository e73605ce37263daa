// What an account may do: a row for each role, with the site it is limited to.

import { Group } from '../kit/form.js';
import { html } from '../kit/html.js';
import { ROLES, roleName } from './words.js';

/** @typedef {{role: string, site: string}} Grant a role, and its site or an empty text for all sites */
/** @typedef {{currentTarget: HTMLSelectElement}} Choice */

/** Roles that can be limited to a site. */
const LIMITED = new Set(['manager', 'viewer']);

/** What the API takes. @param {Grant[]} grants */
export const grantSettings = (grants) => grants.map(({ role, site }) => ({ role, site: (LIMITED.has(role) && site) || null }));

/** @param {{grants: Grant[], choose: (grants: Grant[]) => void, sites: ApiSchema<'SiteView'>[]}} props */
export function Grants({ grants, choose, sites }) {
  const change = (/** @type {number} */ place, /** @type {Partial<Grant>} */ news) => choose(grants.map((one, index) => (index === place ? { ...one, ...news } : one)));
  const shown = [...new Set(grants.map(({ role }) => role))];
  return html`
    <${Group} label="Roles" name="grants">
      ${grants.map(
        ({ role, site }, place) => html`<div class="field" key=${place}>
          <div class="line-row">
            <select class="input" name=${`grants[${place}].role`} aria-label=${`Role ${place + 1}`} value=${role} onChange=${(/** @type {Choice} */ { currentTarget }) => change(place, { role: currentTarget.value })}>
              ${Object.keys(ROLES).map((one) => html`<option key=${one} value=${one} selected=${one === role}>${roleName(one)}</option>`)}
            </select>
            ${
              LIMITED.has(role) &&
              html`<select class="input" name=${`grants[${place}].site`} aria-label=${`Site of role ${place + 1}`} value=${site} onChange=${(/** @type {Choice} */ { currentTarget }) => change(place, { site: currentTarget.value })}>
                <option value="" selected=${!site}>All sites</option>
                ${sites.map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === site}>${name}</option>`)}
              </select>`
            }
            ${grants.length > 1 && html`<button class="button" type="button" aria-label=${`Remove role ${place + 1}`} onClick=${() => choose(grants.filter((_, index) => index !== place))}>Remove</button>`}
          </div>
        </div>`,
      )}
      <div class="actions"><button class="button" type="button" onClick=${() => choose([...grants, { role: 'manager', site: '' }])}>Add a role</button></div>
      <ul class="bullets hint">${shown.map((role) => html`<li key=${role}>${roleName(role)}: ${ROLES[role]?.[1]}</li>`)}</ul>
    <//>
  `;
}

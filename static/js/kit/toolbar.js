// What a list of people shows: a date with those around it, the site, and a search. All of it is in the address.

import { parameter, setParameters } from './address.js';
import { html } from './html.js';

/** @typedef {{currentTarget: HTMLInputElement | HTMLSelectElement}} Change */

/**
 * The toolbar above a list of people.
 * @param {{shown: string, before: string, after: string, labels: {date: string, before: string, after: string, present: string}, sites: ApiSchema<'SiteView'>[]}} props `before` and `after` are the dates that the arrows lead to
 */
export function Toolbar({ shown, before, after, labels, sites }) {
  const [site, go] = [parameter('site'), (/** @type {string} */ date) => setParameters({ date, page: '' })];
  return html`
    <div class="toolbar" role="group" aria-label="What to show">
      <button class="button" type="button" aria-label=${labels.before} onClick=${() => go(before)}>‹</button>
      <input class="input narrow" type="date" aria-label=${labels.date} value=${shown} onChange=${(/** @type {Change} */ event) => go(event.currentTarget.value)} />
      <button class="button" type="button" aria-label=${labels.after} onClick=${() => go(after)}>›</button>
      ${parameter('date') && html`<button class="button" type="button" onClick=${() => go('')}>${labels.present}</button>`}
      ${
        sites.length > 1 &&
        html`<select class="input narrow" aria-label="Site" onChange=${(/** @type {Change} */ event) => setParameters({ site: event.currentTarget.value, page: '' })}>
          <option value="">All sites</option>
          ${sites.map(({ id, name }) => html`<option value=${id} selected=${id === site}>${name}</option>`)}
        </select>`
      }
      <input class="input" type="search" placeholder="Name or staff number" aria-label="Search by name or staff number" value=${parameter('q')} onInput=${(/** @type {Change} */ event) => setParameters({ q: event.currentTarget.value, page: '' }, { stay: true })} />
    </div>
  `;
}

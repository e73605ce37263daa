// Chooses people: by name or staff number, or all of a site.

import { explain, get, getAll } from '../api.js';
import { Icon } from '../kit/basics.js';
import { Group } from '../kit/form.js';
import { html, useId, useState } from '../kit/html.js';
import { useLoad } from '../kit/load.js';
import { plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';

/** @typedef {ApiSchema<'EmployeeView'>} Employee */
/** @typedef {Pick<Employee, 'id' | 'name' | 'code'>} Chosen */

/** How many people a search shows. */
const SHOWN = '8';

/** @param {{sites: ApiSchema<'SiteView'>[], chosen: Chosen[], choose: (people: Chosen[]) => void}} props */
export function PeoplePicker({ sites, chosen, choose }) {
  const [words, setWords] = useState('');
  const [site, setSite] = useState(sites.length === 1 ? (sites[0]?.id ?? '') : '');
  const [trouble, setTrouble] = useState('');
  const found = useLoad(() => get('/api/employees', { query: { q: words, site, active: 'true', limit: SHOWN } }), [words, site]);
  const id = useId();
  const has = new Set(chosen.map((person) => person.id));
  const add = (/** @type {Employee[]} */ people) => choose([...chosen, ...people.filter((person) => !has.has(person.id))]);
  const addAll = async () => {
    try {
      add(await getAll('/api/employees', { site, active: 'true' }));
      setTrouble('');
    } catch (error) {
      setTrouble(sentence(explain(error)));
    }
  };
  const typed = (/** @type {{currentTarget: HTMLInputElement}} */ event) => setWords(event.currentTarget.value);
  const others = (found.data?.items ?? []).filter((person) => !has.has(person.id));
  return html`
    <${Group} label=${`People (${chosen.length})`} name="employees">
      <div class="toolbar tight">
        <div class="search"><${Icon} name="search" /><input class="input" type="search" autocomplete="off" placeholder="Name or staff number" aria-label="Search people by name or staff number" aria-controls=${id} value=${words} onInput=${typed} /></div>
        ${
          sites.length > 1 &&
          html`<select class="input narrow" aria-label="People of the site" value=${site} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => setSite(event.currentTarget.value)}>
            <option value="">All sites</option>
            ${sites.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}
          </select>`
        }
        <button class="button" type="button" onClick=${addAll}>${site && sites.length > 1 ? 'Add all of this site' : 'Add all'}</button>
      </div>
      <ul class="chip-list" id=${id} aria-label="People who were found">
        ${others.map((person) => html`<li key=${person.id}><button class="chip" type="button" aria-label=${`Add ${person.name} ${person.code}`} onClick=${() => add([person])}><${Icon} name="plus" /><span>${person.name}</span> <span class="soft">${person.code}</span></button></li>`)}
      </ul>
      <p class="hint" role="status">${found.error ?? (trouble || (found.data && others.length === 0 ? (chosen.length > 0 && found.data.items.length > 0 ? 'All of these people are chosen.' : 'Nobody found.') : ''))}</p>
      ${chosen.length > 0 && html`<div class="section-head"><p class="label">Chosen: ${plural(chosen.length, 'person', 'people')}</p>${chosen.length > 1 && html`<button class="button plain" type="button" onClick=${() => choose([])}>Remove all</button>`}</div>`}
      <ul class="chip-list" aria-label="Chosen people">
        ${chosen.map(
          (person, place) => html`<li key=${person.id} class="field">
            <button class="chip" type="button" aria-pressed="true" aria-label=${`Remove ${person.name}`} onClick=${() => choose(chosen.filter((one) => one.id !== person.id))}><span>${person.name}</span><${Icon} name="close" /></button>
            <input type="hidden" name=${`employees[${place}]`} value=${person.id} />
          </li>`,
        )}
      </ul>
    <//>
  `;
}

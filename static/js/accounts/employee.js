// Chooses the employee to whom an account belongs.

import { get } from '../api.js';
import { Icon } from '../kit/basics.js';
import { Group } from '../kit/form.js';
import { html, useId, useState } from '../kit/html.js';
import { useLoad } from '../kit/load.js';

/** @typedef {{id: string, name: string, code: string}} Employee */

/** How many employees a search shows. */
const SHOWN = '6';

/** @param {{chosen?: Employee | null, choose: (employee: Employee | null) => void, hint?: string}} props */
export function EmployeeChoice({ chosen, choose, hint }) {
  const [words, setWords] = useState('');
  const id = useId();
  const found = useLoad(async () => (words.trim() ? (await get('/api/employees', { query: { q: words.trim(), active: 'true', limit: SHOWN } })).items : []), [words]);
  if (chosen)
    return html`
      <${Group} label="Employee" name="employee" hint=${hint}>
        <div class="chip-list"><button class="chip" type="button" aria-pressed="true" aria-label=${`Unlink ${chosen.name}`} onClick=${() => choose(null)}><span>${chosen.name}</span> <span>${chosen.code}</span><${Icon} name="close" /></button></div>
      <//>
    `;
  return html`
    <${Group} label="Employee" name="employee" hint=${hint}>
      <div class="search"><${Icon} name="search" /><input class="input" type="search" autocomplete="off" placeholder="Name or staff number" aria-label="Search employees by name or staff number" aria-controls=${id} value=${words} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => setWords(currentTarget.value)} /></div>
      <ul class="chip-list" id=${id} aria-label="Employees who were found">
        ${(found.data ?? []).map((one) => html`<li key=${one.id}><button class="chip" type="button" aria-label=${`Link ${one.name} ${one.code}`} onClick=${() => choose(one)}><${Icon} name="plus" /><span>${one.name}</span> <span class="soft">${one.code}</span></button></li>`)}
      </ul>
      <p class="hint" role="status">${found.error ?? (words.trim() && found.data?.length === 0 ? 'Nobody found.' : '')}</p>
    <//>
  `;
}

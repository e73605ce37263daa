// Exports: what, which dates, for whom and in which format. The choices are in the address, so they can be bookmarked.

import { explain, getAll } from '../api.js';
import { FORMATS, PERIODS, WHAT, addressOf, canBeApproved, choicesOf, fileAddress, missing } from '../exports/choices.js';
import { Layouts } from '../exports/payroll.js';
import { PreviewTable, readRows } from '../exports/preview.js';
import { setParameters } from '../kit/address.js';
import { Button, Notice, PageHead } from '../kit/basics.js';
import { Choice } from '../kit/form.js';
import { dateRange } from '../kit/format.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { abilities, currentAccount } from '../session.js';
import { sentence } from '../ui/form.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {import('../exports/choices.js').Choices} Choices */
/** @typedef {ApiSchema<'EmployeeView'>} Employee */

/** Changes choices without a step in the history for each. @param {Record<string, string>} changes */
const choose = (changes) => setParameters(changes, { stay: true });

export function Page() {
  const account = useLoad(currentAccount, []);
  return html`<${Show} of=${account}>${(/** @type {ApiSchema<'AccountView'>} */ known) => html`<${Exports} can=${abilities(known)} />`}<//>`;
}

/** @param {{can: ReturnType<typeof abilities>}} props */
function Exports({ can }) {
  const choices = choicesOf();
  const sites = useLoad(loadSites, []);
  const people = useLoad(() => getAll('/api/employees'), []);
  return html`
    <${PageHead} title="Exports" lead=${html`<p>Attendance as files, for payroll and spreadsheets</p>`} actions=${html`<a class="button" href="/timesheets">Timesheets</a>`} />
    <section class="card pad" aria-labelledby="export-choices">
      <h2 id="export-choices" class="visually-hidden">What to export</h2>
      <div class="form choices">
        <${Choice} label="What" name="what" value=${choices.what} options=${Object.entries(WHAT).filter(([code]) => can.survey || code !== 'payroll').map(([code, [name, rows]]) => [code, name, rows])} choose=${(/** @type {string} */ what) => choose({ what, only: '' })} />
        ${choices.what === 'payroll' && html`<${Layouts} chosen=${choices.layout} choose=${(/** @type {string} */ layout) => choose({ layout })} administers=${can.administer} />`}
        <${Dates} choices=${choices} />
        <div class="two">
          ${
            (sites.data?.length ?? 0) > 1 &&
            html`<div class="field">
              <label for="export-site">Site</label>
              <select class="input" id="export-site" onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ { currentTarget }) => choose({ site: currentTarget.value })}>
                <option value="">All sites</option>
                ${sites.data?.map(({ id, name }) => html`<option value=${id} selected=${id === choices.site}>${name}</option>`)}
              </select>
            </div>`
          }
          <${Person} people=${people.data ?? []} loading=${!people.data} chosen=${choices.employee} />
        </div>
        ${
          canBeApproved(choices.what) &&
          html`<div class="field">
            <label class="check"><input type="checkbox" checked=${choices.approved} aria-describedby="approved-hint" onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose({ only: currentTarget.checked === (choices.what === 'payroll') ? '' : currentTarget.checked ? 'approved' : 'all' })} /> <span>Only what is approved</span></label>
            <p class="hint" id="approved-hint">${choices.what === 'payroll' ? 'Leaves out days that nobody has approved yet. Without it, check the hours before you pay them.' : 'Leaves out what nobody has approved yet.'}</p>
          </div>`
        }
        ${choices.what !== 'payroll' && html`<${Format} choices=${choices} />`}
      </div>
    </section>
    <${Download} key=${fileAddress(choices)} choices=${choices} />
  `;
}

/** @param {{choices: Choices}} props */
function Dates({ choices: { period, from, to } }) {
  const pick = (/** @type {string} */ next) => choose(next === 'own' ? { period: 'own', from, to } : { period: next, from: '', to: '' });
  const date = (/** @type {'from' | 'to'} */ name, /** @type {string} */ label, /** @type {string} */ value) => html`
    <div class="field">
      <label for=${`export-${name}`}>${label}</label>
      <input class="input" type="date" id=${`export-${name}`} value=${value} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose({ period: 'own', from, to, [name]: currentTarget.value })} />
    </div>
  `;
  return html`
    <${Choice} label="Dates" name="period" value=${period} options=${Object.entries(PERIODS)} choose=${pick} />
    ${period === 'own' ? html`<div class="two">${date('from', 'First date', from)}${date('to', 'Last date', to)}</div>` : html`<p class="hint">${dateRange(from, to)}. A bookmark of this page always means the period at the time when it is opened.</p>`}
  `;
}

/** A person, found by the name or staff number, once people are known; nobody means everybody. @param {{people: Employee[], loading: boolean, chosen: string}} props */
function Person({ people, loading, chosen }) {
  const text = (/** @type {Employee | undefined} */ one) => (one ? `${one.name} (${one.code})` : '');
  const known = people.find(({ id }) => id === chosen);
  const [unknown, setUnknown] = useState('');
  const pick = (/** @type {string} */ typed) => {
    const found = people.find((one) => [text(one), one.name, one.code].some((words) => words.toLocaleLowerCase() === typed.trim().toLocaleLowerCase()));
    setUnknown(typed.trim() && !found ? typed : '');
    choose({ employee: found?.id ?? '' });
  };
  return html`
    <div class="field">
      <label for="export-person">Person <span class="optional">(optional)</span></label>
      <input class="input" id="export-person" list="export-people" autocomplete="off" disabled=${loading} placeholder="Everybody" value=${unknown || text(known)} aria-invalid=${unknown ? 'true' : undefined} aria-describedby=${unknown ? 'export-person-error' : undefined} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => pick(currentTarget.value)} />
      <datalist id="export-people">${people.map((one) => html`<option key=${one.id} value=${text(one)} />`)}</datalist>
      ${unknown && html`<p class="field-error" id="export-person-error" role="alert">Nobody has this name or staff number: the file would have everybody.</p>`}
    </div>
  `;
}

/** @param {{choices: Choices}} props */
function Format({ choices: { format, separator, bom, hours } }) {
  return html`
    <${Choice} label="Format" name="format" value=${format} options=${Object.entries(FORMATS)} choose=${(/** @type {string} */ next) => choose({ format: next })} />
    ${
      format === 'csv' &&
      html`<div class="two">
          <${Choice}
            label="Between cells"
            name="separator"
            value=${separator}
            options=${[
              ['comma', 'Comma'],
              ['semicolon', 'Semicolon', 'With decimal commas, as Excel expects it in many countries'],
            ]}
            choose=${(/** @type {string} */ next) => choose({ separator: next === 'comma' ? '' : next })}
          />
          <${Choice}
            label="Hours"
            name="hours"
            value=${hours}
            options=${[
              ['decimal', 'Decimal, 8.5'],
              ['clock', 'Hours and minutes, 8:30'],
            ]}
            choose=${(/** @type {string} */ next) => choose({ hours: next === 'decimal' ? '' : next })}
          />
        </div>
        <div class="field">
          <label class="check"><input type="checkbox" checked=${bom} aria-describedby="bom-hint" onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose({ bom: currentTarget.checked ? 'true' : '' })} /> <span>With a byte order mark</span></label>
          <p class="hint" id="bom-hint">Then Excel shows names such as Jörg correctly.</p>
        </div>`
    }
  `;
}

/** The link to the file, and a preview of it. @param {{choices: Choices}} props */
function Download({ choices }) {
  const [rows, setRows] = useState(/** @type {import('../exports/preview.js').Row[] | undefined} */ (undefined));
  const [error, setError] = useState('');
  const lacking = missing(choices);
  if (lacking) return html`<${Notice} kind="info">${lacking}<//>`;
  const show = async () => {
    setError('');
    try {
      setRows(await readRows(addressOf(choices, 'json')));
    } catch (cause) {
      setRows(undefined);
      setError(sentence(explain(cause)));
    }
  };
  return html`
    <section class="card" aria-labelledby="export-file">
      <div class="section-head pad-head">
        <h2 id="export-file">The file</h2>
        <div class="actions">
          <${Button} onClick=${show}>Show the first rows<//>
          <a class="button primary" href=${fileAddress(choices)} download>Download</a>
        </div>
      </div>
      <p class="hint pad-head">Every export and every preview is written to the audit trail.</p>
      <div aria-live="polite">
        ${error && html`<${Notice} kind="bad">${error}<//>`}
        ${rows && html`<${PreviewTable} rows=${rows} />`}
      </div>
    </section>
  `;
}

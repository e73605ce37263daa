// Layouts for payroll programs: choose one, see what is in it, and make own ones.

import { get, getAll, readAnswer, send } from '../api.js';
import { Button, Icon, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Field, Form, Group } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { FIGURES } from '../kit/words.js';
import { ask } from '../ui/dialog.js';
import { loadSites } from '../ui/sites.js';
import { toast } from '../ui/toast.js';

/** @typedef {{figure: string, wage_type: string}} WageType the wage type of a figure */
/** @typedef {{field: string, text?: string, only?: string[], except?: string[]}} Column */
/**
 * @typedef {object} Layout
 * @property {string} per
 * @property {boolean} [one_row]
 * @property {string} [separator]
 * @property {string} [decimal]
 * @property {string} [date_format]
 * @property {string} [quote]
 * @property {string} [encoding]
 * @property {string[]} [header]
 * @property {Column[]} columns
 * @property {WageType[]} wage_types
 */
/** @typedef {{id: string, name: string, about?: string, own: boolean, layout: Layout}} Known a layout under a name, or an example */

/** What a column contains. @type {Record<string, string>} */
const COLUMNS = {
  employee_code: 'Staff number',
  employee_name: 'Name of the person',
  first_name: 'First name',
  last_name: 'Last name',
  site_name: 'Site',
  date: 'Date',
  from: 'First date of the export',
  to: 'Last date of the export',
  wage_type: 'Wage type',
  quantity: 'Hours',
  text: 'Always the same text',
};
/** Columns that can be limited to some wage types. */
const LIMITED = new Set(['wage_type', 'quantity']);

const CHOICES = {
  per: { day: 'One day', period: 'All dates of the export' },
  separator: { comma: 'Comma', semicolon: 'Semicolon', tab: 'Tab' },
  decimal: { point: 'Point, 8.50', comma: 'Comma, 8,50' },
  quote: { needed: 'Only where needed', always: 'Always', never: 'Never' },
  encoding: { utf8: 'UTF-8', windows1252: 'Windows (1252)' },
};
const PLAIN_DATE = 'YYYY-MM-DD';

/** @type {Layout} */
const EMPTY = {
  per: 'period',
  columns: [{ field: 'employee_code' }, { field: 'wage_type' }, { field: 'quantity' }],
  wage_types: [
    { figure: 'regular', wage_type: '' },
    { figure: 'overtime', wage_type: '' },
    { figure: 'week_overtime', wage_type: '' },
  ],
};

/** Names of examples. @type {Record<string, string>} */
const EXAMPLES = { datev_lodas: 'DATEV LODAS', datev_lohn_und_gehalt: 'DATEV Lohn und Gehalt', adp: 'ADP', gusto: 'Gusto', xero: 'Xero', sage: 'Sage' };

/** Reads JSON of an address that the checked document does not describe yet. @param {string} method @param {string} path @param {unknown} [json] */
const fetchJson = async (method, path, json) => /** @type {any} */ (await readAnswer(await send(method, path, { json })));

/** @returns {Promise<Known[]>} */
async function readLayouts() {
  const [{ items }, examples] = await Promise.all([fetchJson('GET', '/api/payroll-layouts?limit=200'), fetchJson('GET', '/api/payroll-layout-examples')]);
  return [
    ...items.map((/** @type {Known} */ one) => ({ ...one, own: true })),
    ...examples.items.map((/** @type {Known} */ one) => ({ ...one, name: EXAMPLES[one.id] ?? one.id, own: false })),
  ];
}

/**
 * The choice of a layout, and what is in it.
 * @param {{chosen: string, choose: (layout: string) => void, administers: boolean}} props
 */
export function Layouts({ chosen, choose, administers }) {
  const layouts = useLoad(readLayouts, []);
  return html`<${Show} of=${layouts}>${(/** @type {Known[]} */ all) => html`<${Chooser} all=${all} chosen=${chosen} choose=${choose} administers=${administers} reload=${layouts.reload} />`}<//>`;
}

/** @param {{all: Known[], chosen: string, choose: (layout: string) => void, administers: boolean, reload: () => Promise<void>}} props */
function Chooser({ all, chosen, choose, administers, reload }) {
  const [edited, setEdited] = useState(/** @type {Known | undefined} */ (undefined));
  const known = all.find(({ id }) => id === chosen);
  const options = (/** @type {boolean} */ own) => all.filter((one) => one.own === own).map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === chosen}>${name}</option>`);
  const saved = async (/** @type {string} */ id) => {
    await reload();
    setEdited(undefined);
    choose(id);
    setTimeout(toast, 0, 'Saved'); // not into the dialog, which is about to go
  };
  const remove = async (/** @type {Known} */ { id, name }) => {
    if (!(await ask({ title: `Remove ${name}?`, text: 'Files that were made with it stay as they are.', action: 'Remove' }))) return;
    await fetchJson('DELETE', `/api/payroll-layouts/${id}`);
    choose('');
    await reload();
  };
  return html`
    <div class="field">
      <label for="export-layout">Layout</label>
      <select class="input" id="export-layout" onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ { currentTarget }) => choose(currentTarget.value)}>
        <option value="" selected=${!known}>Choose a layout</option>
        ${all.some(({ own }) => own) && html`<optgroup label="Your layouts">${options(true)}</optgroup>`}
        <optgroup label="Examples">${options(false)}</optgroup>
      </select>
      <p class="hint">The examples show what these programs expect. Copy one, set your own wage types, and try the file with your payroll office.</p>
    </div>
    ${known && html`<${Contents} of=${known} />`}
    ${
      administers &&
      html`<div class="actions">
        ${known?.own && html`<button class="button" type="button" onClick=${() => setEdited(known)}>Change this layout</button><${Button} onClick=${() => remove(known)}>Remove<//>`}
        ${known && html`<button class="button" type="button" onClick=${() => setEdited({ ...known, id: '', name: `${known.name} copy` })}>Copy this layout</button>`}
        <button class="button" type="button" onClick=${() => setEdited({ id: '', name: '', own: true, layout: EMPTY })}>New layout</button>
      </div>`
    }
    ${edited && html`<${Editor} of=${edited} onClose=${() => setEdited(undefined)} onSaved=${saved} />`}
  `;
}

/** What is in a layout. @param {{of: Known}} props */
const Contents = ({ of: { about, layout } }) => html`
  <details class="layout-contents">
    <summary>What is in it</summary>
    ${about && html`<p class="soft">${about}</p>`}
    <h3>Columns</h3>
    <ol class="plain-list">
      ${layout.columns.map((column, index) => html`<li key=${index}>${columnWords(column)}</li>`)}
    </ol>
    <h3>Wage types</h3>
    <dl class="facts">
      ${layout.wage_types.map(({ figure, wage_type: wageType }) => html`<div key=${figure + wageType}><dt>${figureWords(figure)}</dt><dd>${wageType}</dd></div>`)}
    </dl>
  </details>
`;

/** @param {Column} column */
function columnWords({ field, text, only = [], except = [] }) {
  const name = COLUMNS[field] ?? field;
  if (field === 'text') return text ? `${name}: ${text}` : 'Empty';
  const limits = [only.length > 0 && `only ${only.join(', ')}`, except.length > 0 && `without ${except.join(', ')}`].filter(Boolean);
  return limits.length > 0 ? `${name} (${limits.join('; ')})` : name;
}

/** @param {string} figure */
function figureWords(figure) {
  const [group, rest] = figure.split(/\.(.*)/su);
  if (group === 'bands') return `Band: ${rest}`;
  if (group === 'leave_by_kind') return `Leave: ${rest}`;
  return /** @type {Record<string, string>} */ ({ ...FIGURES, regular: 'Worked, without overtime', week_overtime: 'Overtime of weeks' })[figure] ?? figure;
}

/** Reads the names of figures that depend on the installation: bands and kinds of leave. */
async function readFigures() {
  const [kinds, sites] = await Promise.all([getAll('/api/leave-kinds'), loadSites()]);
  const rules = await Promise.all(sites.map(({ id }) => get(`/api/sites/${id}/rules`)));
  const bands = rules.flatMap(({ items }) => items).flatMap(({ rules: of }) => /** @type {{bands?: {name: string}[]}} */ (of).bands ?? []);
  return ['regular', 'overtime', 'week_overtime', ...Object.keys(FIGURES), ...bands.map(({ name }) => `bands.${name}`), ...kinds.map(({ name }) => `leave_by_kind.${name}`)];
}

/** @param {string | undefined} text */
const listOf = (text) => (text ?? '').split(',').map((one) => one.trim()).filter(Boolean);

/** A form for a layout. @param {{of: Known, onClose: () => void, onSaved: (id: string) => unknown}} props */
function Editor({ of: { id, name, layout }, onClose, onSaved }) {
  const known = useLoad(readFigures, []);
  const [columns, setColumns] = useState(layout.columns);
  const [mapping, setMapping] = useState(layout.wage_types);
  const figures = [...new Set([...(known.data ?? []), ...mapping.map(({ figure }) => figure)])];
  const unused = figures.filter((one) => !mapping.some(({ figure }) => figure === one));
  // What `regular` leaves out, and nothing else pays.
  const mapped = new Set(mapping.map(({ figure }) => figure));
  const unpaid = mapped.has('regular') ? ['overtime', 'week_overtime'].filter((figure) => !mapped.has(figure)) : [];
  const setWageType = (/** @type {number} */ index, /** @type {Partial<WageType>} */ news) => setMapping(mapping.map((one, at) => (at === index ? { ...one, ...news } : one)));

  const save = async (/** @type {Record<string, string>} */ data) => {
    const typed = (/** @type {string} */ field) => data[`layout.${field}`] ?? '';
    const words = ['per', 'separator', 'decimal', 'date_format', 'quote', 'encoding'].map((field) => [field, typed(field)]);
    const header = typed('header').replaceAll('\r', '');
    const json = {
      name: data.name,
      layout: {
        ...Object.fromEntries(words),
        one_row: typed('one_row') === 'on',
        header: header ? header.split('\n') : [],
        columns: columns.map(({ field }, index) => {
          const of = (/** @type {string} */ name) => typed(`columns[${index}].${name}`);
          return { field, ...(field === 'text' && { text: of('text') }), ...(LIMITED.has(field) && { only: listOf(of('only')), except: listOf(of('except')) }) };
        }),
        wage_types: mapping,
      },
    };
    const saved = await (id ? fetchJson('PATCH', `/api/payroll-layouts/${id}`, json) : fetchJson('POST', '/api/payroll-layouts', json));
    await onSaved(saved.id);
  };
  const select = (/** @type {keyof typeof CHOICES} */ field, /** @type {string} */ label, /** @type {string} */ fallback) => html`<${Field} name=${`layout.${field}`} label=${label} options=${Object.entries(CHOICES[field])} value=${layout[field] ?? fallback} />`;

  return html`
    <${Dialog} title=${id ? `Change ${name}` : 'New layout'} onClose=${onClose} sheet>
      <${Form} send=${save} action="Save" cancel=${onClose}>
        <${Field} name="name" label="Name" value=${name} maxlength="64" invalid="Type a name" />
        <div class="two">${select('per', 'A row is for', 'period')}${select('separator', 'Between cells', 'comma')}${select('decimal', 'Decimal sign', 'point')}${select('quote', 'Quotation marks', 'needed')}${select('encoding', 'Encoding', 'utf8')}
          <${Field} name="layout.date_format" label="Dates" value=${layout.date_format ?? PLAIN_DATE} hint="Such as DD.MM.YYYY" invalid="Type how dates are written, such as DD.MM.YYYY" />
        </div>
        <${Check} name="layout.one_row" label="All wage types in one row" checked=${layout.one_row ?? false} hint="Each wage type then has columns of its own." />
        <${Lines} name="layout.header" label="Lines before the rows" value=${(layout.header ?? []).join('\n')} hint="{from} and {to} stand for the dates of the export." />
        <${Group} label="Columns" name="layout.columns">
          ${columns.map((column, index) => html`<${ColumnRow} key=${index} index=${index} column=${column} count=${columns.length} change=${setColumns} />`)}
          <div class="actions"><button class="button" type="button" onClick=${() => setColumns([...columns, { field: 'text' }])}>Add a column</button></div>
        <//>
        <${Group} label="Wage types" name="layout.wage_types" hint="A figure without a wage type is not in the file.">
          ${mapping.map(
            ({ figure, wage_type: wageType }, index) => html`
              <div class="line-row" key=${figure}>
                <select class="input" aria-label=${`Figure ${index + 1}`} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ { currentTarget }) => setWageType(index, { figure: currentTarget.value })}>
                  ${figures.filter((one) => one === figure || unused.includes(one)).map((one) => html`<option key=${one} value=${one} selected=${one === figure}>${figureWords(one)}</option>`)}
                </select>
                <input class="input" name=${`layout.wage_types[${index}].wage_type`} aria-label=${`Wage type of ${figureWords(figure)}`} placeholder="Wage type" value=${wageType} required maxlength="64" data-invalid="Type the number or code of the wage type" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => setWageType(index, { wage_type: currentTarget.value })} />
                <button class="button" type="button" aria-label=${`Remove ${figureWords(figure)}`} onClick=${() => setMapping(mapping.filter((_, at) => at !== index))}><${Icon} name="trash" /></button>
              </div>
            `,
          )}
          <div aria-live="polite">${unpaid.length > 0 && html`<${Notice} kind="warn">Overtime is missing: “${figureWords('regular')}” does not include it, so add ${unpaid.map((figure) => `“${figureWords(figure)}”`).join(' and ')}, too.<//>`}</div>
          <div class="actions"><button class="button" type="button" disabled=${unused.length === 0} onClick=${() => setMapping([...mapping, { figure: unused[0] ?? '', wage_type: '' }])}>Add a wage type</button></div>
        <//>
        ${known.error && html`<${Notice} kind="warn">${known.error}<//>`}
      <//>
    <//>
  `;
}

/** @param {{name: string, label: string, value: string, hint: string}} props */
const Lines = ({ name, label, value, hint }) => html`
  <div class="field">
    <label for=${name}>${label} <span class="optional">(optional)</span></label>
    <textarea class="input" id=${name} name=${name} rows="4" defaultValue=${value} aria-describedby=${`${name}-hint`} spellcheck=${false}></textarea>
    <p class="hint" id=${`${name}-hint`}>${hint}</p>
  </div>
`;

/** @param {{index: number, column: Column, count: number, change: (turn: (columns: Column[]) => Column[]) => void}} props */
function ColumnRow({ index, column, count, change }) {
  const set = (/** @type {Partial<Column>} */ news) => change((columns) => columns.map((one, at) => (at === index ? { ...one, ...news } : one)));
  const up = () =>
    change((columns) => {
      const moved = [...columns];
      const [one] = moved.splice(index, 1);
      if (one) moved.splice(index - 1, 0, one);
      return moved;
    });
  const input = (/** @type {'text' | 'only' | 'except'} */ name, /** @type {string} */ label, /** @type {string} */ value) => html`
    <input class="input" name=${`layout.columns[${index}].${name}`} aria-label=${`${label} of column ${index + 1}`} placeholder=${label} value=${value} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => set({ [name]: name === 'text' ? currentTarget.value : listOf(currentTarget.value) })} />
  `;
  return html`
    <div class="line-row">
      <select class="input" aria-label=${`Column ${index + 1}`} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ { currentTarget }) => set({ field: currentTarget.value })}>
        ${Object.entries(COLUMNS).map(([field, text]) => html`<option key=${field} value=${field} selected=${field === column.field}>${text}</option>`)}
      </select>
      ${column.field === 'text' && input('text', 'Text', column.text ?? '')}
      ${LIMITED.has(column.field) && html`${input('only', 'Only wage types', (column.only ?? []).join(', '))}${input('except', 'Not wage types', (column.except ?? []).join(', '))}`}
      <button class="button" type="button" aria-label=${`Move column ${index + 1} up`} disabled=${index === 0} onClick=${up}>↑</button>
      <button class="button" type="button" aria-label=${`Remove column ${index + 1}`} disabled=${count === 1} onClick=${() => change((columns) => columns.filter((_, at) => at !== index))}><${Icon} name="trash" /></button>
    </div>
  `;
}

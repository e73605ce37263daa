// A table whose sorting and page are in the address.

import { parameter, setParameters } from './address.js';
import { html } from './html.js';

/** Rows on a page of the table. */
const PAGE = 100;

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} name
 * @property {string} title
 * @property {(row: Row) => unknown} cell
 * @property {(row: Row) => string | number} [sort] what the rows are sorted by; without it they cannot be
 * @property {boolean} [number] aligns to the right
 * @property {boolean} [wide] left out on a small screen
 */

/**
 * A table. The first column names the row.
 * @template Row
 * @param {{caption: string, columns: Column<Row>[], rows: Row[], id: (row: Row) => string, tone?: (row: Row) => string | undefined, foot?: (unknown | null)[], whole?: boolean}} props `foot` has a cell for each column; `whole` shows all rows, for a list that is read page by page
 */
export function Table({ caption, columns, rows, id, tone, foot, whole = false }) {
  const wanted = parameter('sort');
  const falling = wanted.startsWith('-');
  const by = columns.find(({ name, sort }) => sort && name === wanted.replace('-', ''));
  const sorted = by?.sort ? [...rows].sort((a, b) => compare(by.sort?.(a), by.sort?.(b)) * (falling ? -1 : 1)) : rows;
  const pages = whole ? 1 : Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(parameter('page', '1'), 10) || 1));
  const shown = whole ? sorted : sorted.slice((page - 1) * PAGE, page * PAGE);
  return html`
    <div class="table-frame" role="region" aria-label=${caption} tabindex="0">
      <table class="table">
        <caption class="visually-hidden">${caption}</caption>
        <thead><tr>${columns.map((column) => html`<${Head} key=${column.name} column=${column} sorted=${column === by ? (falling ? 'descending' : 'ascending') : undefined} />`)}</tr></thead>
        <tbody>
          ${shown.map(
            (row) => html`<tr key=${id(row)} data-row=${id(row)} data-tone=${tone?.(row)}>
              ${columns.map(({ cell, number, wide }, index) => (index === 0 ? html`<th scope="row">${cell(row)}</th>` : html`<td class=${classes(number, wide)}>${cell(row)}</td>`))}
            </tr>`,
          )}
        </tbody>
        ${foot && html`<tfoot><tr>${columns.map(({ number, wide }, index) => (index === 0 ? html`<th scope="row">${foot[index]}</th>` : html`<td class=${classes(number, wide)}>${foot[index]}</td>`))}</tr></tfoot>`}
      </table>
    </div>
    ${pages > 1 && html`<${Pages} page=${page} pages=${pages} count=${rows.length} />`}
  `;
}

/** @param {{column: Column<any>, sorted?: string}} props */
function Head({ column: { name, title, sort, number, wide }, sorted }) {
  const turn = () => setParameters({ sort: sorted === 'ascending' ? `-${name}` : name, page: '' }, { stay: true });
  return html`<th scope="col" class=${classes(number, wide)} aria-sort=${sorted}>${sort ? html`<button type="button" class="sort" onClick=${turn}>${title}</button>` : title}</th>`;
}

/** @param {{page: number, pages: number, count: number}} props */
function Pages({ page, pages, count }) {
  const turn = (/** @type {number} */ to) => () => setParameters({ page: to === 1 ? '' : String(to) });
  return html`
    <nav class="pages" aria-label="Pages of the table">
      <button class="button" type="button" disabled=${page === 1} onClick=${turn(page - 1)}>Previous</button>
      <span>Page ${page} of ${pages}, ${count} rows</span>
      <button class="button" type="button" disabled=${page === pages} onClick=${turn(page + 1)}>Next</button>
    </nav>
  `;
}

/** @param {boolean} [number] @param {boolean} [wide] */
const classes = (number, wide) => [number && 'number', wide && 'wide-only'].filter(Boolean).join(' ') || undefined;

/** @param {string | number | undefined} a @param {string | number | undefined} b */
function compare(a = '', b = '') {
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

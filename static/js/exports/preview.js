// The first rows of an export.

import { readAnswer, send } from '../api.js';
import { Empty } from '../kit/basics.js';
import { hours } from '../kit/format.js';
import { html } from '../kit/html.js';

/** How many rows the preview shows. */
export const ROWS = 20;

/** @typedef {Record<string, unknown>} Row */
/** Reads the first rows of a JSON export: one row on each line. @param {string} address @returns {Promise<Row[]>} */
export async function readRows(address) {
  const lines = await firstLines(address, ROWS + 1);
  const rows = lines.map((line) => line.trim().replace(/,$/u, '')).filter((line) => line.startsWith('{'));
  return rows.slice(0, ROWS).map((row) => JSON.parse(row));
}

/**
 * Reads a file until it has so many complete lines, and leaves the rest.
 * @param {string} address
 * @param {number} count
 */
async function firstLines(address, count) {
  const stopped = new AbortController();
  const response = await send('GET', address, { signal: stopped.signal });
  if (!response.ok) await readAnswer(response);
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    text += decoder.decode(value, { stream: !done });
    const lines = text.split(/\r?\n/u);
    if (done) return lines.filter((line, index) => line || index < lines.length - 1);
    if (lines.length > count) {
      stopped.abort();
      return lines.slice(0, -1);
    }
  }
}

/** Columns that are no lengths of time, although they are numbers. Names with a dot end as people named a band or a kind of leave. */
const COUNTS = /^[^.]*(?:days|held|count|number)[^.]*$/u;

/** Shows the first rows. @param {{rows: Row[]}} props */
export function PreviewTable({ rows }) {
  const names = Object.keys(rows[0] ?? {});
  if (names.length === 0) return html`<${Empty}><p>The file has no rows: nothing fits these choices.</p><//>`;
  return html`
    <div class="table-frame" role="region" aria-label="First rows" tabindex="0">
      <table class="table">
        <caption class="visually-hidden">The first rows</caption>
        <thead><tr>${names.map((name) => html`<th key=${name} scope="col" class=${rows.some((row) => typeof row[name] === 'number') ? 'number' : undefined}>${titleOf(name)}</th>`)}</tr></thead>
        <tbody>
          ${rows.map(
            (row, index) => html`<tr key=${index}>${names.map((name) => html`<td key=${name} class=${typeof row[name] === 'number' ? 'number' : undefined}>${words(name, row[name])}</td>`)}</tr>`,
          )}
        </tbody>
      </table>
    </div>
  `;
}

/** "bands.night" becomes "Band: night", "first_in" "First in". @param {string} name */
function titleOf(name) {
  const [group, rest] = name.split(/\.(.*)/su);
  if (rest) return `${group === 'bands' ? 'Band' : 'Leave'}: ${rest}`;
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}

/** @param {string} name @param {unknown} value */
function words(name, value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return COUNTS.test(name) ? String(value) : hours(value);
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (Array.isArray(value)) return value.join(', ');
  const text = String(value);
  return /^\d{4}-\d\d-\d\dT/u.test(text) ? text.slice(0, 16).replace('T', ' ') : text;
}

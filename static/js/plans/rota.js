// The calendar of a site: people by days, with the shift of each day.

import { parameter } from '../kit/address.js';
import { Empty } from '../kit/basics.js';
import { addDays, shortDay } from '../kit/format.js';
import { html } from '../kit/html.js';
import { Table } from '../kit/table.js';
import { ROTA_DAYS } from './assignments.js';
import { shiftOn, shiftTone, shiftWords } from './words.js';

/** @typedef {ApiSchema<'EmployeeView'>} Employee */
/** @typedef {ApiSchema<'ShiftView'>} Shift */
/** @typedef {{shifts: {name: string, tone: string, words: string}[], planned: boolean}} Day what a person works on a day */

/**
 * Returns what is assigned to people on a day: the last entry for the day, else the last cycle that covers it.
 * @param {import('./assignments.js').Plan} plan
 * @returns {(employee: string, date: string) => Day}
 */
function assigned({ assignments, shifts, cycles }) {
  const kinds = new Map(shifts.map((shift) => [shift.id, shift]));
  const rotas = new Map(cycles.map((cycle) => [cycle.id, cycle]));
  /** @type {Map<string, ApiSchema<'AssignmentView'>[]>} */
  const mine = new Map();
  for (const one of assignments) mine.set(one.employee, [...(mine.get(one.employee) ?? []), one]);
  const shown = (/** @type {{id: string, name: string, from: string, to: string}} */ { id, name, from, to }) => {
    const shift = kinds.get(id) ?? { from, to };
    return { name, tone: shiftTone(shift), words: shiftWords(shift) };
  };
  return (employee, date) => {
    const covering = (mine.get(employee) ?? []).filter(({ from, to }) => from <= date && (!to || date <= to));
    const single = covering.findLast(({ cycle }) => !cycle);
    if (single) return { planned: true, shifts: (single.shifts ?? []).map(shown) };
    const last = covering.at(-1);
    if (!last?.cycle) return { planned: mine.has(employee), shifts: [] };
    const cycle = rotas.get(last.cycle);
    // A removed cycle still holds, but the list does not have it.
    if (!cycle) return { planned: true, shifts: [{ name: last.cycle_name ?? '?', tone: '', words: 'A removed cycle' }] };
    const shift = kinds.get(shiftOn(cycle, date) ?? '');
    return { planned: true, shifts: shift ? [shown(shift)] : [] };
  };
}

/** @param {{plan: import('./assignments.js').Plan, today: string, assign?: (start: import('./assignments.js').Start) => void}} props */
export function Rota({ plan, today, assign }) {
  const { from, people, holidays, leave } = plan;
  const words = parameter('q').toLocaleLowerCase();
  const rows = people.filter(({ name, code }) => `${name} ${code}`.toLocaleLowerCase().includes(words));
  if (rows.length === 0) return html`<${Empty}><p>${people.length > 0 ? 'Nobody fits this search.' : 'There are no people at this site yet.'}</p><//>`;
  const on = assigned(plan);
  const feasts = new Map(holidays.flatMap(({ days }) => days ?? []).map((holiday) => [holiday.day, holiday]));
  const away = (/** @type {string} */ employee, /** @type {string} */ date) => leave.filter((one) => one.employee === employee && one.from <= date && date <= one.to);
  const dates = Array.from({ length: ROTA_DAYS }, (_, day) => addDays(from, day));
  const cell = (/** @type {Employee} */ person, /** @type {string} */ date) => {
    const { shifts, planned } = on(person.id, date);
    const notes = [feasts.get(date)?.name, ...away(person.id, date).map((one) => one.kind_name)].filter(Boolean);
    const text = shifts.length > 0 ? shifts.map((shift) => shift.name).join(', ') : planned ? 'free' : 'no plan';
    const drawn = html`
      ${shifts.map((shift) => html`<span key=${shift.name} class=${`badge ${shift.tone}`} title=${shift.words}>${shift.name}</span>`)}
      ${shifts.length === 0 && html`<span class="soft" title=${planned ? 'Free' : 'No plan'}>${planned ? 'free' : '–'}</span>`}
      ${notes.map((note) => html`<span key=${note} class="row-note">${note}</span>`)}
    `;
    if (!assign) return html`<span class="rota-cell">${drawn}</span>`;
    const label = `${person.name}, ${shortDay(date)}: ${[text, ...notes].join(', ')}. Change`;
    return html`<button class="rota-cell" type="button" data-date=${date} aria-label=${label} onClick=${() => assign({ people: [person], day: date })}>${drawn}</button>`;
  };
  /** @type {import('../kit/table.js').Column<Employee>[]} */
  const columns = [
    { name: 'who', title: 'Name', cell: ({ id, name }) => html`<a href=${`/person?id=${id}&month=${from}`}>${name}</a>`, sort: ({ name }) => name },
    ...dates.map((date) => ({ name: date, title: date === today ? 'Today' : `${shortDay(date).slice(0, 3)} ${Number(date.slice(8))}`, cell: (/** @type {Employee} */ person) => cell(person, date) })),
  ];
  return html`<div class="rota"><${Table} caption="Who works when" columns=${columns} rows=${rows} id=${(/** @type {Employee} */ person) => person.id} /></div>`;
}

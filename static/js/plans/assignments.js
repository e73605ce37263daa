// Assignments: who works which cycle from when until when, and the shifts of single days.

import { explain, getAll, post, remove } from '../api.js';
import { parameter, setParameters } from '../kit/address.js';
import { Empty, Icon, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { useFeed } from '../kit/feed.js';
import { Choice, Field, Form, Group, useDraft } from '../kit/form.js';
import { addDays, browserToday, shortDay } from '../kit/format.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Table } from '../kit/table.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { toast } from '../ui/toast.js';
import { usualSite } from './entries.js';
import { PeoplePicker } from './people-picker.js';
import { Rota } from './rota.js';
import { cycleWords, shiftWords } from './words.js';

/** @typedef {ApiSchema<'AssignmentView'>} Assignment */
/** @typedef {import('./people-picker.js').Chosen} Chosen */
/** @typedef {{people?: Chosen[], day?: string}} Start what a new assignment begins with */

export const ROTA_DAYS = 14;

/** The most people of a request. */
const MOST = 200;

/** @param {string} site @param {string} from */
async function read(site, from) {
  const to = addDays(from, ROTA_DAYS - 1);
  const [people, assignments, shifts, cycles, holidays, leave] = await Promise.all([
    getAll('/api/employees', { site, active: 'true' }),
    // From the first date on, so that what begins later is listed too.
    getAll('/api/assignments', { site, from }),
    getAll('/api/shifts'),
    getAll('/api/cycles'),
    getAll('/api/holidays', { site }),
    getAll('/api/leave', { site, from, to, state: 'approved' }),
  ]);
  return { from, people, assignments, shifts, cycles, holidays, leave };
}

/** @typedef {Awaited<ReturnType<typeof read>>} Plan what is planned at a site */

/** @param {import('./entries.js').PartProps} props */
export function Assignments({ sites, can }) {
  const site = parameter('site') || usualSite(sites);
  const today = sites.find(({ id }) => id === site)?.workday ?? browserToday();
  const from = parameter('from') || today;
  const plan = useLoad(() => read(site, from), [site, from]);
  const [start, setStart] = useState(/** @type {Start | undefined} */ (undefined));
  useFeed(['plan', 'employee'], plan.reload);
  const close = () => setStart(undefined);
  const done = async (/** @type {number} */ count) => {
    close();
    await plan.reload();
    toast(`Assigned to ${plural(count, 'person', 'people')}`);
  };
  const go = (/** @type {string} */ date) => setParameters({ from: date, page: '' });
  return html`
    <div class="part-head">
      <p class="soft">Assign a cycle to people from a date on, or the shifts of a single day. Of two assignments for the same day, the later one holds.</p>
      ${can.edit && html`<button class="button primary" type="button" onClick=${() => setStart({})}><${Icon} name="plus" />Assign</button>`}
    </div>
    <div class="toolbar" role="group" aria-label="What to show">
      <button class="button" type="button" aria-label="Two weeks before" onClick=${() => go(addDays(from, -ROTA_DAYS))}>‹</button>
      <input class="input narrow" type="date" aria-label="First day" value=${from} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => go(event.currentTarget.value)} />
      <button class="button" type="button" aria-label="Two weeks after" onClick=${() => go(addDays(from, ROTA_DAYS))}>›</button>
      ${
        sites.length > 1 &&
        html`<select class="input narrow" aria-label="Site" onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => setParameters({ site: event.currentTarget.value, page: '' })}>
          ${sites.map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === site}>${name}</option>`)}
        </select>`
      }
      <input class="input" type="search" placeholder="Name or staff number" aria-label="Search by name or staff number" value=${parameter('q')} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setParameters({ q: event.currentTarget.value, page: '' }, { stay: true })} />
    </div>
    <${Show} of=${plan}>
      ${(/** @type {Plan} */ data) => html`
        <section class="card" aria-labelledby="rota"><h2 id="rota" class="card-title">Two weeks from ${shortDay(from)}</h2><${Rota} plan=${data} today=${today} assign=${can.edit ? setStart : undefined} /></section>
        <section class="card" aria-labelledby="assignments"><h2 id="assignments" class="card-title">Assignments from ${shortDay(from)} on</h2><${List} plan=${data} may=${can.edit} reload=${plan.reload} /></section>
        ${start && html`<${AssignDialog} start=${start} plan=${data} sites=${sites} today=${today} done=${done} close=${close} />`}
      `}
    <//>
  `;
}

/** @param {{plan: Plan, may: boolean, reload: () => Promise<void>}} props */
function List({ plan: { assignments, people, cycles, shifts }, may, reload }) {
  const words = parameter('q').toLocaleLowerCase();
  const codes = new Map(people.map(({ id, code }) => [id, code]));
  const rows = assignments.filter((one) => `${one.employee_name} ${codes.get(one.employee) ?? ''}`.toLocaleLowerCase().includes(words));
  const drop = async (/** @type {Assignment} */ one) => {
    const sure = await ask({ title: `Remove the assignment of ${one.employee_name}?`, text: `${what(one)}, ${when(one)}. Earlier assignments hold instead. If there is none, the days have no plan.`, action: 'Remove' });
    if (!sure) return;
    try {
      await remove(`/api/assignments/${one.id}`);
      toast('The assignment was removed');
    } catch (error) {
      toast(sentence(explain(error)));
    }
    await reload();
  };
  const known = new Map(shifts.map((shift) => [shift.id, shift]));
  const about = new Map(cycles.map((cycle) => [cycle.id, cycleWords(cycle.shifts, known)]));
  /** @type {import('../kit/table.js').Column<Assignment>[]} */
  const columns = [
    { name: 'name', title: 'Name', cell: (one) => one.employee_name, sort: (one) => one.employee_name },
    { name: 'what', title: 'Works', cell: (one) => html`<span title=${one.cycle ? about.get(one.cycle) : undefined}>${what(one)}</span>`, sort: what },
    { name: 'from', title: 'From', cell: (one) => shortDay(one.from), sort: (one) => one.from },
    { name: 'to', title: 'Until', cell: (one) => (one.to ? shortDay(one.to) : 'further notice'), sort: (one) => one.to ?? '9999' },
    ...(may ? [{ name: 'do', title: 'Action', cell: (/** @type {Assignment} */ one) => html`<button class="button danger" type="button" aria-label=${`Remove ${what(one)} of ${one.employee_name}`} onClick=${() => drop(one)}>Remove</button>`, number: true }] : []),
  ];
  if (rows.length === 0) return html`<${Empty}><p>${assignments.length > 0 ? 'Nobody fits this search.' : 'Nothing is assigned yet. People without a plan are never late or absent.'}</p><//>`;
  return html`<${Table} caption="Assignments" columns=${columns} rows=${rows} id=${(/** @type {Assignment} */ one) => one.id} />`;
}

/** What is assigned, in words. @param {Assignment} one */
function what({ cycle, cycle_name, shifts }) {
  if (cycle) return `Cycle ${cycle_name ?? ''}`;
  return shifts?.length ? shifts.map(({ name }) => name).join(' and ') : 'Day off';
}

/** @param {Assignment} one */
const when = ({ from, to }) => (to === from ? `on ${shortDay(from)}` : `from ${shortDay(from)}${to ? ` to ${shortDay(to)}` : ' on'}`);

/** @param {{start: Start, plan: Plan, sites: ApiSchema<'SiteView'>[], today: string, done: (count: number) => Promise<void>, close: () => void}} props */
function AssignDialog({ start, plan: { shifts, cycles }, sites, today, done, close }) {
  const { draft, change, bind } = useDraft({
    people: start.people ?? [],
    of: start.day || cycles.length === 0 ? 'day' : 'cycle',
    cycle: cycles[0]?.id ?? '',
    from: start.day ?? addDays(today, 1),
    to: '',
    day: start.day ?? addDays(today, 1),
    shifts: /** @type {string[]} */ ([]),
  });
  const known = new Map(shifts.map((shift) => [shift.id, shift]));
  const several = sites.length > 1;
  const siteName = (/** @type {string} */ id) => (several ? ` (${sites.find((site) => site.id === id)?.name ?? 'another site'})` : '');
  const cycle = cycles.find(({ id }) => id === draft.cycle);
  const send = async () => {
    const plan = draft.of === 'cycle' ? { cycle: draft.cycle, from: draft.from, to: draft.to || undefined } : { day: draft.day, shifts: draft.shifts };
    let left = draft.people;
    do {
      await post('/api/assignments', { employees: left.slice(0, MOST).map(({ id }) => id), ...plan });
      left = left.slice(MOST);
      // If the next ones are refused, only they are still to be assigned.
      change({ people: left });
    } while (left.length > 0);
    await done(draft.people.length);
  };
  const toggle = (/** @type {string} */ id) => change({ shifts: draft.shifts.includes(id) ? draft.shifts.filter((one) => one !== id) : [...draft.shifts, id] });
  /** @type {[string, string, string][]} */
  const kinds = [
    ['cycle', 'A cycle', 'For weeks and months: it holds from a date on.'],
    ['day', 'The shifts of a single day', 'For an exception, such as a swapped shift or a day off. It replaces what the cycle says.'],
  ];
  return html`
    <${Dialog} title="Assign" onClose=${close} sheet>
      <${Form} send=${send} action=${draft.people.length > 1 ? `Assign to ${draft.people.length} people` : 'Assign'} cancel=${close}>
        <${PeoplePicker} sites=${sites} chosen=${draft.people} choose=${(/** @type {Chosen[]} */ people) => change({ people })} />
        <${Choice} name="of" label="What" value=${draft.of} options=${kinds} choose=${(/** @type {string} */ of) => change({ of })} />
        ${
          draft.of === 'cycle'
            ? html`
                ${cycles.length === 0 && html`<${Notice} kind="info">There is no cycle yet. <a href="/plans?part=cycles">Add a cycle</a> first. A week with the same shift every day is a cycle, too.<//>`}
                <${Field} key="cycle" label="Cycle" options=${cycles.map(({ id, name, site }) => [id, name + siteName(site)])} hint=${cycle && cycleWords(cycle.shifts, known)} invalid="Choose a cycle" ...${bind('cycle')} />
                <div class="two" key="dates">
                  <${Field} label="From" type="date" invalid="Choose a date" ...${bind('from')} />
                  <${Field} label="Until" type="date" optional hint="Without it, the cycle holds until another one is assigned." ...${bind('to')} />
                </div>
              `
            : html`
                <${Field} key="day" label="Day" type="date" invalid="Choose a date" ...${bind('day')} />
                <${Group} key="shifts" label="Shifts" name="shifts" hint="Choose none for a day off.">
                  ${shifts.map((shift) => html`<label key=${shift.id} class="check"><input type="checkbox" checked=${draft.shifts.includes(shift.id)} onChange=${() => toggle(shift.id)} /> <span>${shift.name}${siteName(shift.site)} <span class="soft">${shiftWords(shift)}</span></span></label>`)}
                  ${shifts.length === 0 && html`<p class="soft">There is no shift yet. <a href="/plans?part=shifts">Add a shift</a> first.</p>`}
                <//>
              `
        }
      <//>
    <//>
  `;
}

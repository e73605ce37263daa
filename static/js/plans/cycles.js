// Cycles: shifts that repeat, one a day.

import { getAll, patch, post } from '../api.js';
import { Icon, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { useFeed } from '../kit/feed.js';
import { Field, Form, Group, useDraft } from '../kit/form.js';
import { addDays, browserToday, shortDay } from '../kit/format.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Entries, siteField, sitePrefix, usualSite } from './entries.js';
import { cycleWords, mondayOf, shiftOn, shiftTone, shiftWords } from './words.js';

/** @typedef {ApiSchema<'ShiftView'>} Shift */
/** @typedef {ApiSchema<'CycleView'>} Cycle */

const WEEK = 7;
const WEEKS_SHOWN = 4;

const read = async () => {
  const [cycles, shifts] = await Promise.all([getAll('/api/cycles'), getAll('/api/shifts')]);
  return { cycles, shifts };
};

/** @param {import('./entries.js').PartProps} props */
export function Cycles({ sites, can }) {
  const list = useLoad(read, []);
  useFeed(['plan'], list.reload);
  return html`<${Show} of=${list}>
    ${(/** @type {Awaited<ReturnType<typeof read>>} */ { cycles, shifts }) => {
      const known = new Map(shifts.map((shift) => [shift.id, shift]));
      const blocked = shifts.length === 0 && html`<${Notice} kind="info">A cycle is made of shifts. <a href="/plans?part=shifts">Add a shift</a> first.<//>`;
      return html`
        <${Entries}
          one="cycle"
          many="cycles"
          about="A cycle repeats shifts and free days, for example a week, or five early shifts, two free days, five late shifts and two free days."
          items=${cycles}
          may=${can.edit}
          blocked=${blocked}
          note=${(/** @type {Cycle} */ cycle) => html`${sitePrefix(sites, cycle.site)}${cycleWords(cycle.shifts, known)}`}
          address=${(/** @type {string} */ id) => `/api/cycles/${id}`}
          loss="People to whom it is assigned keep it until they get another one. It cannot be assigned any more."
          reload=${list.reload}
          form=${(/** @type {Cycle | null} */ cycle, /** @type {(name: string) => Promise<void>} */ done, /** @type {() => void} */ close) => html`<${CycleDialog} key=${cycle?.id ?? 'new'} cycle=${cycle} shifts=${shifts} sites=${sites} done=${done} close=${close} />`}
        />
      `;
    }}
  <//>`;
}

/** @param {{cycle: Cycle | null, shifts: Shift[], sites: ApiSchema<'SiteView'>[], done: (name: string) => Promise<void>, close: () => void}} props */
function CycleDialog({ cycle, shifts, sites, done, close }) {
  const { draft, change, bind } = useDraft(() => {
    const site = cycle?.site ?? shifts.find((shift) => shift.site === usualSite(sites))?.site ?? shifts[0]?.site ?? '';
    const first = shifts.find((shift) => shift.site === site)?.id ?? null;
    const week = Array.from({ length: WEEK }, (_, day) => (day < 5 ? first : null));
    return { site, name: cycle?.name ?? '', starts: cycle?.starts ?? mondayOf(browserToday()), days: cycle?.shifts ?? week };
  });
  const { site, days } = draft;
  const local = shifts.filter((shift) => shift.site === site);
  const set = (/** @type {number} */ place, /** @type {string} */ id) => change({ days: days.map((old, index) => (index === place ? id || null : old)) });
  // Shifts belong to a site.
  const move = (/** @type {{currentTarget: HTMLSelectElement}} */ event) => change({ site: event.currentTarget.value, days: days.map(() => null) });
  const send = async () => {
    const settings = { site, name: draft.name.trim(), starts: draft.starts, shifts: days };
    await (cycle ? patch(`/api/cycles/${cycle.id}`, settings) : post('/api/cycles', settings));
    await done(settings.name);
  };
  return html`
    <${Dialog} title=${cycle ? 'Change the cycle' : 'Add a cycle'} onClose=${close} sheet>
      <${Form} send=${send} action=${cycle ? 'Save' : 'Add'} cancel=${close}>
        <${Field} label="Name" maxlength="64" placeholder="Two shifts" invalid="Type a name" ...${bind('name')} />
        ${sites.length > 1 && html`<${Field} ...${siteField({ sites, bind })} onInput=${move} />`}
        <${Field} label="First day" type="date" invalid="Choose a date" hint="A date on which day 1 of the cycle falls. The cycle repeats from there in both directions; who works it from when is assigned later." ...${bind('starts')} />
        <${Group} label=${`Days (${days.length})`} name="shifts" hint="Each day has a shift or is free. After the last day, the cycle begins again.">
          <ol class="strip">
            ${days.map((id, place) => html`<${Day} key=${place} place=${place} date=${draft.starts && addDays(draft.starts, place)} id=${id} shifts=${local} set=${set} />`)}
          </ol>
          <div class="actions">
            <button class="button" type="button" onClick=${() => change({ days: [...days, null] })}><${Icon} name="plus" />Add a day</button>
            <button class="button" type="button" onClick=${() => change({ days: [...days, ...days.slice(-WEEK)] })}><${Icon} name="plus" />${days.length < WEEK ? 'Repeat these days' : 'Repeat the last week'}</button>
            <button class="button" type="button" disabled=${days.length < 2} onClick=${() => change({ days: days.slice(0, -1) })}>Remove the last day</button>
          </div>
        <//>
        ${draft.starts && html`<${Preview} cycle=${{ starts: draft.starts, shifts: days }} shifts=${local} />`}
      <//>
    <//>
  `;
}

/** @param {{place: number, date: string, id: string | null, shifts: Shift[], set: (place: number, id: string) => void}} props */
function Day({ place, date, id, shifts, set }) {
  const shift = shifts.find((one) => one.id === id);
  return html`
    <li class=${`field strip-day ${shift ? shiftTone(shift) : ''}`}>
      <span class="hint">${place + 1}${date && ` · ${shortDay(date).slice(0, 3)}`}</span>
      <select class="input" name=${`shifts[${place}]`} aria-label=${`Day ${place + 1}`} value=${id ?? ''} title=${shift && shiftWords(shift)} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => set(place, event.currentTarget.value)}>
        <option value="">Free</option>
        ${shifts.map((one) => html`<option key=${one.id} value=${one.id} selected=${one.id === id}>${one.name}</option>`)}
      </select>
    </li>
  `;
}

/** The next four weeks of a cycle. @param {{cycle: {starts: string, shifts: (string | null)[]}, shifts: Shift[]}} props */
function Preview({ cycle, shifts }) {
  const monday = mondayOf(browserToday());
  const known = new Map(shifts.map((shift) => [shift.id, shift]));
  const weeks = Array.from({ length: WEEKS_SHOWN }, (_, week) => Array.from({ length: WEEK }, (_, day) => addDays(monday, week * WEEK + day)));
  return html`
    <table class="month-grid">
      <caption>The next four weeks</caption>
      <thead><tr>${weeks[0]?.map((date) => html`<th key=${date} scope="col">${shortDay(date).slice(0, 3)}</th>`)}</tr></thead>
      <tbody>
        ${weeks.map(
          (week) => html`<tr key=${week[0]}>
            ${week.map((date) => {
              const shift = known.get(shiftOn(cycle, date) ?? '');
              return html`<td key=${date} data-date=${date} class=${shift ? shiftTone(shift) : 'free'} title=${shift && shiftWords(shift)}><span class="day-of-month">${Number(date.slice(8))}</span> <span class="day-shift">${shift?.name ?? 'free'}</span></td>`;
            })}
          </tr>`,
        )}
      </tbody>
    </table>
  `;
}

// Calendars of public holidays.

import { Problem, explain, getAll, patch, post, readAnswer, send as sendRequest } from '../api.js';
import { Icon, Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { useFeed } from '../kit/feed.js';
import { Choice, Field, Form, Group, useDraft } from '../kit/form.js';
import { browserToday, shortDay } from '../kit/format.js';
import { html, useRef, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { Entries } from './entries.js';

/** @typedef {ApiSchema<'HolidayCalendarView'>} Calendar */
/** @typedef {ApiSchema<'SiteView'>} Site */
/** @typedef {{key: number, day: string, part: string, name: string}} Row */
/** @typedef {{day: string, part?: string, name: string}} Holiday */
/** @typedef {{added: Holiday[], removed: Holiday[], renamed: {day: string, from: string, to: string}[]}} Preview what a file would change */

/** How many of the next holidays the list names. */
const NAMED = 3;

/** @param {import('./entries.js').PartProps} props */
export function Holidays({ sites, can, everywhere }) {
  const list = useLoad(() => getAll('/api/holidays'), []);
  useFeed(['plan'], list.reload);
  return html`<${Show} of=${list}>
    ${(/** @type {Calendar[]} */ items) => html`
      <${Entries}
        one="calendar"
        many="calendars of holidays"
        about="On a public holiday, no work is due, also where a shift is planned. Each calendar is for all sites or for some."
        items=${items}
        may=${can.edit}
        mayChange=${(/** @type {Calendar} */ { sites: ids = [] }) => can.edit && (everywhere || (ids.length > 0 && ids.every((id) => sites.some((site) => site.id === id))))}
        note=${(/** @type {Calendar} */ calendar) => calendarWords(calendar, sites)}
        address=${(/** @type {string} */ id) => `/api/holidays/${id}`}
        loss="Its days are no holidays any more, except on locked days."
        reload=${list.reload}
        form=${(/** @type {Calendar | null} */ calendar, /** @type {(name: string) => Promise<void>} */ done, /** @type {() => void} */ close) => html`<${CalendarDialog} key=${calendar?.id ?? 'new'} calendar=${calendar} sites=${sites} everywhere=${everywhere} done=${done} close=${close} />`}
      />
    `}
  <//>`;
}

/**
 * "All sites, 11 holidays. Next: Christmas Day (Fri, Dec 25)"
 * @param {Calendar} calendar
 * @param {Site[]} sites
 */
export function calendarWords({ sites: ids = [], days = [] }, sites) {
  const where = ids.length === 0 ? 'All sites' : ids.map((id) => sites.find((site) => site.id === id)?.name ?? 'another site').join(', ');
  const today = browserToday();
  const next = days.filter(({ day }) => day >= today).slice(0, NAMED);
  const named = next.map(({ name, day, part }) => `${name} (${shortDay(day)}${part === 'half' ? ', half' : ''})`);
  return `${where}, ${plural(days.length, 'holiday')}${named.length > 0 ? `. Next: ${named.join(', ')}` : ''}`;
}

/** @param {{calendar: Calendar | null, sites: Site[], everywhere: boolean, done: (name: string) => Promise<void>, close: () => void}} props */
function CalendarDialog({ calendar, sites, everywhere, done, close }) {
  const keys = useRef(0);
  const { draft, change, bind } = useDraft(() => ({
    name: calendar?.name ?? '',
    scope: calendar?.sites?.length || !everywhere ? 'some' : 'all',
    sites: calendar?.sites ?? (everywhere ? [] : sites.map(({ id }) => id)),
    days: (calendar?.days ?? []).map(({ day, part = 'whole', name }) => ({ key: keys.current++, day, part, name })),
  }));
  const set = (/** @type {number} */ key, /** @type {Partial<Row>} */ changes) => change({ days: draft.days.map((row) => (row.key === key ? { ...row, ...changes } : row)) });
  const add = () => change({ days: [...draft.days, { key: keys.current++, day: '', part: 'whole', name: '' }] });
  const toggle = (/** @type {string} */ id) => change({ sites: draft.sites.includes(id) ? draft.sites.filter((one) => one !== id) : [...draft.sites, id] });
  // What was typed for other dates stays, also while the file was read. A file does not say that half of a day is a holiday.
  const typed = useRef(draft);
  typed.current = draft;
  const take = (/** @type {Preview} */ { added, removed, renamed }) => {
    const names = new Map([...added.map(({ day, name }) => /** @type {const} */ ([day, name])), ...renamed.map(({ day, to }) => /** @type {const} */ ([day, to]))]);
    const gone = new Set(removed.map(({ day }) => day));
    const rows = typed.current.days.filter(({ day }) => !gone.has(day)).map((row) => ({ ...row, name: names.get(row.day) ?? row.name }));
    const known = new Set(rows.map(({ day }) => day));
    const read = added.filter(({ day }) => !known.has(day)).map(({ day, part = 'whole', name }) => ({ key: keys.current++, day, part, name }));
    change({ days: [...read, ...rows] });
  };
  const send = async () => {
    // None would mean all.
    if (draft.scope === 'some' && draft.sites.length === 0) throw new Problem(422, { errors: [{ field: 'sites', detail: 'choose at least one site' }] }, null);
    const settings = {
      name: draft.name.trim(),
      sites: draft.scope === 'all' ? [] : draft.sites,
      days: draft.days.map(({ day, part, name }) => ({ day, part, name: name.trim() })),
    };
    await (calendar ? patch(`/api/holidays/${calendar.id}`, settings) : post('/api/holidays', settings));
    await done(settings.name);
  };
  /** @type {[string, string][]} */
  const scopes = [
    ['all', 'All sites'],
    ['some', 'Only these sites'],
  ];
  return html`
    <${Dialog} title=${calendar ? 'Change the calendar' : 'Add a calendar'} onClose=${close} sheet>
      <${Form} send=${send} action=${calendar ? 'Save' : 'Add'} cancel=${close}>
        <${Field} label="Name of the calendar" maxlength="64" placeholder="Berlin" invalid="Type a name" ...${bind('name')} />
        ${
          sites.length > 1 &&
          html`${everywhere && html`<${Choice} name="scope" label="For" value=${draft.scope} options=${scopes} choose=${(/** @type {string} */ scope) => change({ scope })} />`}
            ${draft.scope === 'some' && html`<${Group} label="Sites" name="sites">${sites.map(({ id, name }) => html`<label key=${id} class="check"><input type="checkbox" checked=${draft.sites.includes(id)} onChange=${() => toggle(id)} /> <span>${name}</span></label>`)}<//>`}`
        }
        <${Group} label=${`Holidays (${draft.days.length})`} name="days" hint="On a half holiday, the day is free from its middle on, as on Christmas Eve in some companies.">
          <ul class="holiday-rows">
            ${draft.days.map((row, place) => html`<${HolidayRow} key=${row.key} row=${row} place=${place} set=${set} drop=${() => change({ days: draft.days.filter(({ key }) => key !== row.key) })} />`)}
          </ul>
          <div class="actions"><button class="button" type="button" onClick=${add}><${Icon} name="plus" />Add a holiday</button><${FromFile} calendar=${calendar} take=${take} /></div>
        <//>
      <//>
    <//>
  `;
}

/**
 * Fills in the holidays of an `.ics` file, and says what that changes. Nothing is saved.
 * @param {{calendar: Calendar | null, take: (preview: Preview) => void}} props
 */
function FromFile({ calendar, take }) {
  const [preview, setPreview] = useState(/** @type {Preview | undefined} */ (undefined));
  const [trouble, setTrouble] = useState('');
  const read = async (/** @type {{currentTarget: HTMLInputElement}} */ event) => {
    const input = event.currentTarget;
    const [file] = input.files ?? [];
    if (!file) return;
    setPreview(undefined);
    setTrouble('');
    try {
      const response = await sendRequest('POST', '/api/holidays/preview', { body: file, query: { calendar: calendar?.id }, headers: { 'Content-Type': 'text/calendar' } });
      const found = /** @type {Preview} */ (await readAnswer(response));
      take(found);
      setPreview(found);
    } catch (error) {
      setTrouble(sentence(explain(error)));
    }
    // The same file can be chosen again.
    input.value = '';
  };
  return html`
    <label class="button file-button"><${Icon} name="link" />From an .ics file<input class="visually-hidden" type="file" accept=".ics,text/calendar" onChange=${read} /></label>
    ${trouble && html`<${Notice} kind="bad">${trouble}<//>`}
    ${
      preview &&
      html`<${Notice} kind="good">
        <p>${plural(preview.added.length, 'holiday')} added, ${preview.renamed.length} renamed, ${preview.removed.length} removed. Nothing is saved yet: look at the list, then save it.</p>
        ${preview.removed.length > 0 && html`<p>Removed, because the file does not have them: ${preview.removed.map(({ day, name }) => `${name} (${shortDay(day)})`).join(', ')}</p>`}
        ${preview.renamed.length > 0 && html`<p>Renamed: ${preview.renamed.map(({ from, to }) => `${from} to ${to}`).join(', ')}</p>`}
      <//>`
    }
  `;
}

/** @param {{row: Row, place: number, set: (key: number, changes: Partial<Row>) => void, drop: () => void}} props */
function HolidayRow({ row: { key, day, part, name }, place, set, drop }) {
  const number = place + 1;
  return html`
    <li class="holiday-row">
      <div class="field"><input class="input" type="date" required name=${`days[${place}].day`} aria-label=${`Date of holiday ${number}`} data-invalid="Choose a date" value=${day} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => set(key, { day: event.currentTarget.value })} /></div>
      <div class="field grow"><input class="input" required maxlength="64" autocomplete="off" placeholder="New Year's Day" name=${`days[${place}].name`} aria-label=${`Name of holiday ${number}`} data-invalid="Type a name" value=${name} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => set(key, { name: event.currentTarget.value })} /></div>
      <div class="field">
        <select class="input" name=${`days[${place}].part`} aria-label=${`Length of holiday ${number}`} value=${part} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => set(key, { part: event.currentTarget.value })}>
          <option value="whole" selected=${part === 'whole'}>Whole day</option>
          <option value="half" selected=${part === 'half'}>Half day</option>
        </select>
      </div>
      <button class="button plain" type="button" aria-label=${`Remove holiday ${number}`} onClick=${drop}><${Icon} name="trash" /></button>
    </li>
  `;
}

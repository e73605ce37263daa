// Today, or any other day: who is due, and who is there. The live feed keeps it up to date.

import { get } from '../api.js';
import { parameter, setParameters } from '../kit/address.js';
import { Avatar, Badge, Empty, PageHead } from '../kit/basics.js';
import { Clock, ZonesNote } from '../kit/clock.js';
import { Exceptions } from '../kit/exceptions.js';
import { LiveState, useFeed } from '../kit/feed.js';
import { FirstSteps } from '../kit/first-steps.js';
import { addDays, browserToday, hours, hoursOrNothing, longDay } from '../kit/format.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Table } from '../kit/table.js';
import { Toolbar } from '../kit/toolbar.js';
import { PRESENCE } from '../kit/words.js';
import { abilities, currentAccount } from '../session.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {ApiSchema<'BoardLineView'>} Line */

/** What changes the board. */
const NEWS = ['punch', 'employee', 'site', 'timesheet', 'plan'];

export function Page() {
  const account = useLoad(currentAccount, []);
  return html`<${Show} of=${account}>${(/** @type {ApiSchema<'AccountView'>} */ known) => (abilities(known).survey ? html`<${Board} administers=${abilities(known).administer} />` : html`<${OwnMonth} account=${known} />`)}<//>`;
}

/** An employee has no board: their page is their month. @param {{account: ApiSchema<'AccountView'>}} props */
function OwnMonth({ account: { employee } }) {
  if (employee) location.replace(`/person?id=${employee}`);
  return employee ? null : html`<${Empty}><p>Your account is not linked to a person. Ask an admin to link it.</p><//>`;
}

/** @param {{administers: boolean}} props */
function Board({ administers }) {
  const date = parameter('date');
  const site = parameter('site');
  const sites = useLoad(loadSites, []);
  const board = useLoad(() => get('/api/days', { query: { date, site } }), [date, site]);
  const feed = useFeed(NEWS, board.reload);
  const shown = date || board.data?.items[0]?.day || browserToday();
  return html`
    <${PageHead} title=${date ? longDay(date) : 'Today'} lead=${html`<${Dates} lines=${date ? [] : (board.data?.items ?? [])} /><${ZonesNote} zones=${(sites.data ?? []).filter(({ id }) => !site || id === site).map(({ zone }) => zone)} />`} actions=${html`<a class="button" href=${`/roll-call${site && `?site=${site}`}`}>Roll call</a><${LiveState} state=${feed} />`} />
    <${Toolbar} shown=${shown} before=${addDays(shown, -1)} after=${addDays(shown, 1)} labels=${DAYS} sites=${sites.data ?? []} />
    <${Show} of=${board}>${(/** @type {ApiSchema<'BoardView'>} */ data) => html`<${Lines} board=${data} sites=${sites.data ?? []} administers=${administers} />`}<//>
  `;
}

/** The workdays on the board: several where sites are far apart. @param {{lines: Line[]}} props */
const Dates = ({ lines }) => html`<p>${[...new Set(lines.map(({ day }) => day))].sort().map(longDay).join(' / ')}</p>`;

/** What the toolbar says. */
const DAYS = { date: 'Date', before: 'The day before', after: 'The day after', present: 'Today' };

/** @param {{board: ApiSchema<'BoardView'>, sites: ApiSchema<'SiteView'>[], administers: boolean}} props */
function Lines({ board: { items, counts }, sites, administers }) {
  const state = parameter('state');
  const words = parameter('q').toLocaleLowerCase();
  const fits = (/** @type {Line} */ line) => (!state || line.state === state) && `${line.name} ${line.code}`.toLocaleLowerCase().includes(words);
  const rows = items.filter(fits);
  const siteOf = new Map(sites.map((site) => [site.id, site.name]));
  return html`
    ${administers && html`<${FirstSteps} />`}
    <div class="chips" role="group" aria-label="Filter by state">
      ${Object.entries(PRESENCE).map(
        ([code, [text, tone, meaning]]) => html`
          <button key=${code} type="button" class=${`chip ${tone}`} title=${meaning} aria-pressed=${String(state === code)} onClick=${() => setParameters({ state: state === code ? '' : code, page: '' })}>
            <span class="chip-count" data-count=${code}>${counts[code] ?? 0}</span> <span>${text}</span>
          </button>
        `,
      )}
    </div>
    <section class="card" aria-label="People">
      ${rows.length > 0 ? html`<${Table} caption="People on this day" columns=${columns(sites.length > 1, siteOf, !parameter('date'))} rows=${rows} id=${(/** @type {Line} */ line) => line.employee} foot=${foot(rows, sites.length > 1)} />` : html`<${Empty}><p>${items.length > 0 ? 'Nobody fits these filters.' : 'There are no people here yet.'}</p><//>`}
    </section>
  `;
}

/**
 * @param {boolean} several whether there are several sites
 * @param {Map<string, string>} siteOf
 * @param {boolean} today whether the time of people at work counts until now; the day of a person counts it at the punch out
 * @returns {import('../kit/table.js').Column<Line>[]}
 */
function columns(several, siteOf, today) {
  const order = Object.keys(PRESENCE);
  return [
    { name: 'name', title: 'Name', cell: ({ employee, name, code, day }) => html`<a class="who-cell" href=${`/person?id=${employee}&month=${day}`}><${Avatar} name=${name} /><span><span class="row-title">${name}</span> <span class="row-note">${code}</span></span></a>`, sort: ({ name }) => name },
    { name: 'state', title: 'State', cell: ({ state }) => html`<${Badge} tone=${PRESENCE[state]?.[1]} title=${PRESENCE[state]?.[2]}>${PRESENCE[state]?.[0] ?? state}<//>`, sort: ({ state }) => order.indexOf(state) },
    ...(several ? [{ name: 'site', title: 'Site', cell: (/** @type {Line} */ { site }) => siteOf.get(site), sort: (/** @type {Line} */ { site }) => siteOf.get(site) ?? '', wide: true }] : []),
    { name: 'in', title: 'First in', cell: ({ first_in: at, day }) => at && html`<${Clock} at=${at} day=${day} />`, sort: ({ first_in: at }) => at ?? '', number: true },
    { name: 'out', title: 'Last out', cell: ({ last_out: at, day }) => at && html`<${Clock} at=${at} day=${day} />`, sort: ({ last_out: at }) => at ?? '', number: true },
    { name: 'worked', title: today ? 'Worked so far' : 'Worked', cell: ({ worked }) => hoursOrNothing(worked), sort: ({ worked }) => worked, number: true },
    { name: 'planned', title: 'Planned', cell: ({ planned }) => hoursOrNothing(planned), sort: ({ planned }) => planned, number: true, wide: true },
    { name: 'exceptions', title: 'Exceptions', cell: ({ exceptions }) => html`<${Exceptions} codes=${exceptions} />`, sort: ({ exceptions }) => -exceptions.length },
  ];
}

/** @param {Line[]} rows @param {boolean} several */
function foot(rows, several) {
  const sum = (/** @type {(line: Line) => number} */ figure) => hours(rows.reduce((all, line) => all + figure(line), 0));
  return ['Sum', null, ...(several ? [null] : []), null, null, sum(({ worked }) => worked), sum(({ planned }) => planned), null];
}

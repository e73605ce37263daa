// Roll call: who is here now, by site, to print in an emergency and tick off.

import { get } from '../api.js';
import { parameter } from '../kit/address.js';
import { Empty, PageHead } from '../kit/basics.js';
import { ZonesNote } from '../kit/clock.js';
import { LiveState, useFeed } from '../kit/feed.js';
import { longDay, wallClock, wallDate, wallTime } from '../kit/format.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {ApiSchema<'BoardLineView'>} Line */

const HERE = new Set(['present', 'on_break']);

async function read() {
  const [{ items }, sites] = await Promise.all([get('/api/days', { query: { site: parameter('site') } }), loadSites()]);
  const here = items.filter(({ state }) => HERE.has(state));
  const groups = sites.map((site) => ({ name: site.name, lines: here.filter((line) => line.site === site.id) }));
  // By the clock of the first site, as the times below.
  const shown = sites.find(({ id }) => here.some(({ site }) => site === id)) ?? sites[0];
  return { at: wallTime(Date.now(), shown?.zone ?? 'UTC'), zones: sites.filter(({ id }) => here.some(({ site }) => site === id)).map(({ zone }) => zone), count: here.length, groups: groups.filter(({ lines }) => lines.length > 0) };
}

export function Page() {
  const list = useLoad(read, [parameter('site')]);
  const feed = useFeed(['punch', 'employee', 'timesheet'], list.reload);
  return html`
    <${PageHead} title="Roll call" lead=${list.data && html`<p>${list.data.count} here on ${longDay(wallDate(list.data.at))} at ${wallClock(list.data.at)}, by the site to which they belong</p><${ZonesNote} zones=${list.data.zones} />`} actions=${html`<button class="button primary" type="button" onClick=${() => window.print()}>Print</button><${LiveState} state=${feed} />`} />
    <${Show} of=${list}>
      ${(/** @type {Awaited<ReturnType<typeof read>>} */ { groups }) => (groups.length === 0 ? html`<section class="card"><${Empty}><p>Nobody is here.</p><//></section>` : groups.map((group) => html`<${Group} key=${group.name} ...${group} />`))}
    <//>
  `;
}

/** @param {{name: string, lines: Line[]}} props */
const Group = ({ name, lines }) => html`
  <section class="card roll-call" aria-label=${name}>
    <h2>${name} <span class="soft">${lines.length}</span></h2>
    <ul>
      ${lines.map((line) => html`<li key=${line.employee}><span class="tick" aria-hidden="true"></span><span class="row-main">${line.name}</span><span class="soft">${line.code}</span><span class="soft">${line.state === 'on_break' ? 'on a break' : `in ${wallClock(line.first_in)}`}</span></li>`)}
    </ul>
  </section>
`;

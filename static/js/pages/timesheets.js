// Timesheets of a period: which are open, submitted, approved and locked; approve and lock several at once.

import { getAll, request } from '../api.js';
import { parameter, setParameters } from '../kit/address.js';
import { REOPENING } from '../kit/adjustments.js';
import { ReviewDialog, canApprove } from '../kit/approval.js';
import { Badge, Button, Empty, Notice, PageHead } from '../kit/basics.js';
import { Outcome, Progress, monthAddress, refusalOf, useChoice, workThrough } from '../kit/decisions.js';
import { LiveState, useFeed } from '../kit/feed.js';
import { addDays, browserToday, dateRange, longDay, periodName } from '../kit/format.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Table } from '../kit/table.js';
import { Toolbar } from '../kit/toolbar.js';
import { PROGRESS } from '../kit/words.js';
import { abilities, currentAccount } from '../session.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { loadSites } from '../ui/sites.js';
import { dateName } from '../ui/time.js';

/** @typedef {ApiSchema<'NamedTimesheetView'>} Sheet */
/** @typedef {ReturnType<typeof abilities>} Abilities */

const NEWS = ['timesheet', 'employee', 'site'];

export function Page() {
  const account = useLoad(currentAccount, []);
  return html`<${Show} of=${account}>${(/** @type {ApiSchema<'AccountView'>} */ known) => html`<${Timesheets} can=${abilities(known)} />`}<//>`;
}

/** @param {{can: Abilities}} props */
function Timesheets({ can }) {
  const date = parameter('date');
  const sites = useLoad(loadSites, []);
  const sheets = useLoad(() => getAll('/api/timesheets', { period: date }), [date]);
  const feed = useFeed(NEWS, sheets.reload);
  const list = sheets.data ?? [];
  const periods = [...new Map(list.map(({ from, to }) => [`${from} ${to}`, { from, to }])).values()];
  const only = periods.length === 1 ? periods[0] : undefined;
  const shown = date || browserToday();
  // Where periods differ from site to site, the shortest step skips none.
  const latest = list.map(({ from }) => from).sort().at(-1) ?? shown;
  const first = list.map(({ to }) => to).sort()[0] ?? shown;
  return html`
    <${PageHead}
      title="Timesheets"
      lead=${html`<p>${only ? periodName(only.from, only.to) : `The periods with ${longDay(date || browserToday())}`}</p>`}
      actions=${html`<a class="button" href="/inbox">Inbox</a><a class="button" href=${`/exports?what=timesheets${only ? `&from=${only.from}&to=${only.to}` : ''}`}>Export</a><${LiveState} state=${feed} />`}
    />
    <${Toolbar} shown=${shown} before=${addDays(latest, -1)} after=${addDays(first, 1)} labels=${PERIODS} sites=${sites.data ?? []} />
    <${Show} of=${sheets}>${(/** @type {Sheet[]} */ all) => html`<${Lines} key=${date} all=${all} several=${periods.length > 1} sites=${sites.data ?? []} can=${can} reload=${sheets.reload} />`}<//>
  `;
}

/** What the toolbar says. */
const PERIODS = { date: 'A date of the period', before: 'The period before', after: 'The period after', present: 'Present period' };

/** @param {{all: Sheet[], several: boolean, sites: ApiSchema<'SiteView'>[], can: Abilities, reload: () => Promise<void>}} props */
function Lines({ all, several, sites, can, reload }) {
  const { chosen, choose } = useChoice();
  const [review, setReview] = useState(/** @type {Sheet[]} */ ([]));
  const [progress, setProgress] = useState(/** @type {{done: number, all: number} | undefined} */ (undefined));
  const [outcome, setOutcome] = useState(/** @type {unknown} */ (undefined));
  const [state, site, words] = [parameter('state'), parameter('site'), parameter('q').toLocaleLowerCase()];
  const here = all.filter((sheet) => (!site || sheet.site === site) && `${sheet.name} ${sheet.code}`.toLocaleLowerCase().includes(words));
  const rows = here.filter((sheet) => !state || sheet.state === state);
  const selected = rows.filter(({ id }) => chosen.has(id));
  const [toApprove, toLock] = [selected.filter((sheet) => canApprove(sheet.state)), selected.filter((sheet) => sheet.state === 'approved')];

  const lock = async () => {
    const question = {
      title: `Lock ${plural(toLock.length, 'timesheet')}?`,
      text: 'The figures then stay as they were approved. What changes later becomes an adjustment of the next open period. Only an admin can unlock them.',
      action: 'Lock',
    };
    if (!(await ask(question))) return;
    const failed = await workThrough(toLock, ({ id }) => request('POST', `/api/timesheets/${id}/lock`), setProgress);
    setOutcome(html`<${Outcome} done=${`${plural(toLock.length - failed.length, 'timesheet')} locked.`} refused=${failed.map(({ item, refusal }) => ({ ...item, what: periodName(item.from, item.to), refusal }))} />`);
    await reload();
  };

  const unlock = async (/** @type {Sheet} */ { id, name, from, to }) => {
    const period = periodName(from, to);
    const question = { title: 'Unlock this timesheet?', text: `${name}, ${period}. ${REOPENING}`, action: 'Unlock' };
    if (!(await ask(question))) return;
    try {
      await request('POST', `/api/timesheets/${id}/unlock`);
      setOutcome(html`<${Notice} kind="good">The timesheet of ${name}, ${period}, is open again.<//>`);
    } catch (error) {
      setOutcome(html`<${Notice} kind="bad">${name}, ${period}: ${refusalOf(error).words}<//>`);
    }
    await reload();
  };

  return html`
    <div class="chips" role="group" aria-label="Filter by state">
      ${Object.entries(PROGRESS).map(
        ([code, [text, tone]]) => html`
          <button key=${code} type="button" class=${`chip ${tone}`} aria-pressed=${String(state === code)} onClick=${() => setParameters({ state: state === code ? '' : code, page: '' })}>
            <span class="chip-count" data-count=${code}>${here.filter((sheet) => sheet.state === code).length}</span> <span>${text}</span>
          </button>
        `,
      )}
    </div>
    ${
      can.edit &&
      rows.length > 0 &&
      html`<div class="toolbar choosing">
        <label class="check"><input type="checkbox" checked=${selected.length === rows.length} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose(rows, currentTarget.checked)} /> <span>Select all ${rows.length}</span></label>
        <div class="actions">
          <button class="button primary" type="button" disabled=${toApprove.length === 0} onClick=${() => setReview(toApprove)}>Review and approve (${toApprove.length})</button>
          <${Button} disabled=${toLock.length === 0} onClick=${lock}>Lock (${toLock.length})<//>
        </div>
      </div>`
    }
    <div class="outcome" aria-live="polite">${progress ? html`<${Progress} of=${progress} doing="Locking" />` : outcome}</div>
    <section class="card" aria-label="People">
      ${
        rows.length > 0
          ? html`<${Table} caption="Timesheets of this period" columns=${columns({ several, sites, can, chosen, choose, unlock })} rows=${rows} id=${(/** @type {Sheet} */ { id }) => id} />`
          : html`<${Empty}><p>${all.length > 0 ? 'No timesheet fits these filters.' : 'There are no people here yet.'}</p><//>`
      }
    </section>
    ${review.length > 0 && html`<${ReviewDialog} sheets=${review} onClose=${() => setReview([])} onApproved=${reload} />`}
  `;
}

/**
 * @param {{several: boolean, sites: ApiSchema<'SiteView'>[], can: Abilities, chosen: Set<string>, choose: (some: Sheet[], on: boolean) => void, unlock: (sheet: Sheet) => unknown}} how
 * @returns {import('../kit/table.js').Column<Sheet>[]}
 */
function columns({ several, sites, can, chosen, choose, unlock }) {
  const order = Object.keys(PROGRESS);
  const siteOf = new Map(sites.map((site) => [site.id, site.name]));
  const box = (/** @type {Sheet} */ sheet) => html`<input class="tick-box" type="checkbox" aria-label=${`Select ${sheet.name}`} checked=${chosen.has(sheet.id)} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose([sheet], currentTarget.checked)} />`;
  /** @type {(import('../kit/table.js').Column<Sheet> | false)[]} */
  const all = [
    {
      name: 'name',
      title: 'Name',
      cell: (sheet) => html`<span class="pick-cell">${can.edit && box(sheet)}<a class="who-cell" href=${monthAddress(sheet.employee, sheet.from)}><span><span class="row-title">${sheet.name}</span> <span class="row-note">${sheet.code}</span></span></a></span>`,
      sort: ({ name }) => name,
    },
    { name: 'state', title: 'State', cell: ({ state }) => html`<${Badge} tone=${PROGRESS[state]?.[1]}>${PROGRESS[state]?.[0] ?? state}<//>`, sort: ({ state }) => order.indexOf(state) },
    several && { name: 'period', title: 'Period', cell: ({ from, to }) => dateRange(from, to), sort: ({ from }) => from },
    sites.length > 1 && { name: 'site', title: 'Site', cell: ({ site }) => siteOf.get(site), sort: ({ site }) => siteOf.get(site) ?? '', wide: true },
    {
      name: 'corrections',
      title: 'To decide',
      cell: ({ requested_corrections: count }) => count > 0 && html`<a href="/inbox?kind=corrections">${count}</a>`,
      sort: ({ requested_corrections: count }) => -count,
      number: true,
    },
    { name: 'approved', title: 'Approved', cell: ({ approval }) => approval && dateName(approval.at), sort: ({ approval }) => approval?.at ?? '', wide: true },
    can.administer && {
      name: 'unlock',
      title: 'Change',
      cell: (sheet) => sheet.approval && html`<${Button} label=${`Unlock the timesheet of ${sheet.name}`} onClick=${() => unlock(sheet)}>Unlock<//>`,
    },
  ];
  return all.filter((column) => column !== false);
}

// Plans: shifts, cycles, who works them when, holidays and kinds of leave.

import { parameter, setParameters } from '../kit/address.js';
import { Notice, PageHead } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Assignments } from '../plans/assignments.js';
import { Cycles } from '../plans/cycles.js';
import { Holidays } from '../plans/holidays.js';
import { LeaveKinds } from '../plans/leave-kinds.js';
import { Shifts } from '../plans/shifts.js';
import { abilities, currentAccount } from '../session.js';
import { loadSites } from '../ui/sites.js';

/** The parts by their name in the address. @type {Record<string, [words: string, part: (props: import('../plans/entries.js').PartProps) => unknown]>} */
const PARTS = {
  assignments: ['Who works when', Assignments],
  shifts: ['Shifts', Shifts],
  cycles: ['Cycles', Cycles],
  holidays: ['Holidays', Holidays],
  'leave-kinds': ['Kinds of leave', LeaveKinds],
};
const FIRST = 'assignments';

/** Roles that change plans. */
const CHANGERS = new Set(['admin', 'manager']);

const read = async () => {
  const account = await currentAccount();
  const everywhere = account.grants.some(({ role, scope }) => scope === 'everything' && CHANGERS.has(role));
  return { account, can: abilities(account), everywhere, sites: await loadSites() };
};

export function Page() {
  const known = useLoad(read, []);
  const chosen = parameter('part', FIRST);
  const part = chosen in PARTS ? chosen : FIRST;
  return html`
    <${PageHead} title="Plans" lead=${html`<p>Who works when, and which days are free. <a href="/sites">Sites and their rules</a> say how hours count.</p>`} />
    <${Show} of=${known}>
      ${(/** @type {Awaited<ReturnType<typeof read>>} */ { account, can, everywhere, sites }) => {
        if (!can.survey) return html`<${Notice} kind="info">Only managers and admins see the plans of all. ${account.employee && html`<a href=${`/person?id=${account.employee}`}>Your own days</a>`}<//>`;
        const [, Part] = PARTS[part] ?? [];
        return html`<${Parts} part=${part} /><${Part} key=${part} sites=${sites} can=${can} everywhere=${everywhere} />`;
      }}
    <//>
  `;
}

/** @param {{part: string}} props */
function Parts({ part }) {
  const open = (/** @type {string} */ name) => (/** @type {MouseEvent} */ event) => {
    // Other clicks open a tab or a window.
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    setParameters({ part: name, sort: '', page: '', q: '' });
  };
  return html`<nav class="tabs" aria-label="Parts of the plans">${Object.entries(PARTS).map(([name, [words]]) => html`<a key=${name} href=${`/plans?part=${name}`} aria-current=${name === part ? 'page' : undefined} onClick=${open(name)}>${words}</a>`)}</nav>`;
}

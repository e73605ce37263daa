// The list of accounts, with filters that are part of the address.

import { parameter, setParameters } from '../kit/address.js';
import { Badge, Icon } from '../kit/basics.js';
import { html, useState } from '../kit/html.js';
import { Pages, usePages } from '../kit/pages.js';
import { Table } from '../kit/table.js';
import { AccountSheet } from './account.js';
import { InviteDialog } from './invite.js';
import { ROLES, grantWords, lastSignIn } from './words.js';

/** @typedef {import('./words.js').Managed} Managed */

/** The states to filter by, and what the API takes. @type {Record<string, [words: string, active: string]>} */
const STATES = { active: ['Active', 'true'], disabled: ['Disabled', 'false'] };

/** @param {import('../pages/accounts.js').PartProps} props */
export function AccountList({ account, sites }) {
  const [q, role, state] = [parameter('q'), parameter('role'), parameter('state')];
  const [open, setOpen] = useState(/** @type {Managed | undefined} */ (undefined));
  const [inviting, setInviting] = useState(false);
  const list = usePages('/api/accounts', { q, role, active: STATES[state]?.[1] ?? '', limit: '100' });
  const filtered = Boolean(q || role || state);
  const pick = (/** @type {string} */ name) => (/** @type {{currentTarget: HTMLInputElement | HTMLSelectElement}} */ { currentTarget }) => setParameters({ [name]: currentTarget.value }, { stay: true });
  const present = open && (list.items?.find(({ id }) => id === open.id) ?? open);
  return html`
    <div class="toolbar" role="group" aria-label="What to show">
      <input class="input" type="search" placeholder="Name or address" aria-label="Search by name or address" value=${q} onInput=${pick('q')} />
      <select class="input narrow" aria-label="Role" onChange=${pick('role')}>
        <option value="">All roles</option>
        ${Object.entries(ROLES).map(([code, [name]]) => html`<option key=${code} value=${code} selected=${code === role}>${name}</option>`)}
      </select>
      <select class="input narrow" aria-label="State" onChange=${pick('state')}>
        <option value="">All states</option>
        ${Object.entries(STATES).map(([code, [words]]) => html`<option key=${code} value=${code} selected=${code === state}>${words}</option>`)}
      </select>
      <button class="button primary" type="button" onClick=${() => setInviting(true)}><${Icon} name="plus" />Invite</button>
    </div>
    <${Pages} of=${list} empty=${filtered ? 'No account fits. Change the search or the filters.' : 'There is no account.'}>
      ${(/** @type {Managed[]} */ all) => html`<${Table} caption="Accounts" columns=${columns(account.id, setOpen)} rows=${all} id=${(/** @type {Managed} */ one) => one.id} tone=${(/** @type {Managed} */ one) => (one.active ? undefined : 'soft')} whole />`}
    <//>
    ${present && html`<${AccountSheet} key=${present.id} managed=${present} own=${present.id === account.id} sites=${sites} reload=${list.reload} close=${() => setOpen(undefined)} />`}
    ${inviting && html`<${InviteDialog} sites=${sites} admin=${true} invited=${() => {}} close=${() => setInviting(false)} />`}
  `;
}

/** @param {string} own @param {(account: Managed) => void} open */
const columns = (own, open) => [
  {
    name: 'name',
    title: 'Name',
    cell: (/** @type {Managed} */ one) => html`<span class="row-title">${one.name}${one.id === own && html` <span class="soft">(you)</span>`}</span><span class="row-note">${one.email}</span><span class="row-note small-only">${grantWords(one.grants)}</span>`,
  },
  { name: 'roles', title: 'Roles', wide: true, cell: (/** @type {Managed} */ { grants }) => html`<span class="wrap-cell">${grantWords(grants)}</span>` },
  { name: 'employee', title: 'Employee', wide: true, cell: (/** @type {Managed} */ { employee }) => employee && html`<a href=${`/person?id=${employee.id}`}>${employee.name}</a> <span class="soft">${employee.code}</span>` },
  { name: 'state', title: 'State', cell: (/** @type {Managed} */ one) => html`<${States} account=${one} />` },
  { name: 'signed_in', title: 'Last sign-in', wide: true, cell: (/** @type {Managed} */ { signed_in_at: at }) => lastSignIn(at) },
  { name: 'manage', title: html`<span class="visually-hidden">Manage</span>`, number: true, cell: (/** @type {Managed} */ one) => html`<button class="button" type="button" aria-label=${`Manage ${one.name}`} onClick=${() => open(one)}>Manage</button>` },
];

/** The state of an account as badges. @param {{account: Managed}} props */
export const States = ({ account: { active, second_factor: second } }) => html`<span class="badges">
  ${active ? html`<${Badge} tone="in">Active<//>` : html`<${Badge} tone="bad">Disabled<//>`}
  ${second && html`<${Badge} title="A second step is asked for after the password">Two steps<//>`}
</span>`;

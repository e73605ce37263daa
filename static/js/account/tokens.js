// Tokens with which programs use the API in the name of the account.

import { Explained, get, post, remove } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button, Empty, Icon } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Field, Form, Group } from '../kit/form.js';
import { html, useRef, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { copyFrom } from '../ui/copy.js';
import { ask } from '../ui/dialog.js';
import { loadSites } from '../ui/sites.js';
import { dateName } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'TokenView'>} Token */

/** The permissions in words. @type {Record<string, string>} */
const PERMISSIONS = {
  read: 'Read people, punches, days and timesheets',
  survey: 'Read sites, devices, cameras and the state of the service',
  correct: 'Add and change people and plans, correct punches, decide, approve',
  request: 'Ask for corrections and leave',
  invite: 'Invite employees',
  identify: 'Recognize a face without a punch',
  look: 'See pictures of punches and of unknown faces',
  enroll: 'Enroll and delete faces',
  administer: 'Manage sites, devices, cameras and accounts, delete people',
};
/** How long a token can last. @type {[string, string][]} */
const LASTS = [['30', '30 days'], ['90', '90 days'], ['365', 'A year']];

/** @param {import('../pages/account.js').PartProps} props */
export function Tokens({ account }) {
  const tokens = useLoad(async () => (await get('/api/tokens')).items, []);
  const sites = useLoad(loadSites, []);
  const [adding, setAdding] = useState(false);
  const { act, trouble } = useActions(tokens.reload);
  const revoke = (/** @type {Token} */ token) => act(() => revokeToken(token), `${token.name} was revoked`);
  return html`
    <div class="part-head">
      <p class="soft">Give each program that uses Rollcall, such as payroll, its own token. You choose what it may do, and you can revoke it separately. <a href="/api/docs">The API</a></p>
      <button class="button primary" type="button" onClick=${() => setAdding(true)}><${Icon} name="plus" />Make a token</button>
    </div>
    ${trouble}
    <${Show} of=${tokens}>
      ${(/** @type {Token[]} */ all) => html`
        <section class="card" aria-label="Tokens">
          ${all.length === 0 && html`<${Empty}><p>You have no token.</p><//>`}
          <${TokenRows} tokens=${all} revoke=${revoke} />
        </section>
      `}
    <//>
    ${adding && html`<${TokenDialog} permissions=${account.permissions} sites=${sites} made=${tokens.reload} close=${() => setAdding(false)} />`}
  `;
}

/** Revokes a token after a question. Returns `false` if the answer is no. @param {Token} token */
export async function revokeToken({ id, name }) {
  if (!(await ask({ title: `Revoke ${name}?`, text: 'The program that uses this token is refused at once.', action: 'Revoke' }))) return false;
  await remove(`/api/tokens/${id}`);
}

/**
 * @param {{tokens: Token[], revoke: (token: Token) => () => unknown, whose?: boolean}} props `whose`: whether to say to whom they belong
 */
export const TokenRows = ({ tokens, revoke, whose = false }) => html`
  <ul class="rows">
    ${tokens.map(
      (one) => html`<li key=${one.id} data-token=${one.id}>
        <div class="row">
          <div class="row-main"><span class="row-title">${one.name}</span><span class="row-note wrap">${whose && `${one.account_email ?? 'removed account'} · `}${noteOf(one)}</span></div>
          ${Date.parse(one.expires_at) < Date.now() && html`<${Badge} tone="warn">Expired<//>`}
          <${Button} tone="danger" label=${`Revoke ${one.name}`} onClick=${revoke(one)}>Revoke<//>
        </div>
      </li>`,
    )}
  </ul>
`;

/** What a token may do, where, and until when. @param {Token} token */
const noteOf = ({ permissions, site_names: sites, expires_at: until, used_at: used }) => [permissions.join(', '), sites ? sites.join(', ') : null, `until ${dateName(until)}`, used ? `last used ${dateName(used)}` : 'never used'].filter(Boolean).join(' · ');

/** @param {{permissions: string[], sites: import('../kit/load.js').Loaded<ApiSchema<'SiteView'>[]>, made: () => Promise<void>, close: () => void}} props */
function TokenDialog({ permissions, sites, made, close }) {
  const [token, setToken] = useState('');
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const send = async (/** @type {Record<string, string>} */ data) => {
    // Without them, the token would be for all.
    if (!sites.data) throw new Explained('the sites are not loaded yet: try again in a moment');
    const chosen = sites.data.map(({ id }) => id).filter((id) => data[`site ${id}`] === 'on');
    const answer = await post('/api/tokens', { name: (data.name ?? '').trim(), permissions: permissions.filter((one) => data[one] === 'on'), sites: chosen.length > 0 ? chosen : null, days: Number(data.days) });
    setToken(answer.token);
    await made();
  };
  const copy = async () => {
    if (input.current) toast((await copyFrom(input.current)) ? 'Copied' : 'Press Ctrl+C to copy it');
  };
  if (token)
    return html`
      <${Dialog} title="Your token" onClose=${close}>
        <p><strong>Copy it now: it is not shown again.</strong> Give it to the program, and to nobody else.</p>
        <input ref=${input} class="input" readonly aria-label="Token" value=${token} />
        <div class="actions end"><button class="button" type="button" onClick=${copy}>Copy</button><button class="button primary" type="button" data-close>Done</button></div>
      <//>
    `;
  return html`
    <${Dialog} title="Make a token" onClose=${close} sheet>
      <${Form} send=${send} action="Make the token" cancel=${close}>
        <${Field} name="name" label="Name" maxlength="120" placeholder="Payroll export" invalid="Type a name" hint="What it is for." autofocus />
        <${Group} label="The program may" name="permissions">${permissions.map((one) => html`<${Check} key=${one} name=${one} label=${PERMISSIONS[one] ?? one} checked=${one === 'read'} />`)}<//>
        <${Show} of=${sites}>
          ${(/** @type {ApiSchema<'SiteView'>[]} */ all) => all.length > 1 && html`<${Group} label="Only these sites" name="sites" hint="None chosen: everything that you may see.">${all.map(({ id, name }) => html`<${Check} key=${id} name=${`site ${id}`} label=${name} />`)}<//>`}
        <//>
        <${Field} name="days" label="Lasts" options=${LASTS} value="90" />
      <//>
    <//>
  `;
}

// Where the account is signed in, with buttons to end that.

import { get, remove } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { dateTime } from '../ui/time.js';

/** @typedef {ApiSchema<'BrowserView'>} Browser */

export function Sessions() {
  const sessions = useLoad(async () => (await get('/api/sessions')).items, []);
  const { act, trouble } = useActions(sessions.reload);
  const endOthers = act(() => remove('/api/sessions'), 'All other browsers are signed out');
  return html`
    <section class="card" aria-labelledby="sessions">
      <h2 id="sessions" class="card-title">Where you are signed in</h2>
      ${trouble && html`<div class="row-refusal">${trouble}</div>`}
      <${Show} of=${sessions}>
        ${(/** @type {Browser[]} */ all) => html`
          <ul class="rows">
            ${all.map(
              (one) => html`<li key=${one.id} data-session=${one.id}>
                <div class="row">
                  <div class="row-main">
                    <span class="row-title">${one.browser ?? 'Unknown browser'}</span>
                    <span class="row-note wrap">${[one.address, `last used ${dateTime(one.used_at)}`, `signed in ${dateTime(one.created_at)}`].filter(Boolean).join(' · ')}</span>
                  </div>
                  ${one.current ? html`<${Badge} tone="in">This browser<//>` : html`<${Button} label=${`Sign out ${one.browser ?? 'unknown browser'}, signed in ${dateTime(one.created_at)}`} onClick=${act(() => remove(`/api/sessions/${one.id}`), 'The browser is signed out')}>Sign out<//>`}
                </div>
              </li>`,
            )}
          </ul>
          ${all.length > 1 && html`<div class="card-foot"><${Button} onClick=${endOthers}>Sign out all other browsers<//></div>`}
        `}
      <//>
    </section>
  `;
}

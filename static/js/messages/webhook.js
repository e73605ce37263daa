// One webhook: its state, what can be done with it, and its deliveries.

import { get, patch, post, remove, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { parameter, setParameters } from '../kit/address.js';
import { Badge, Button, Empty, Notice } from '../kit/basics.js';
import { html, useEffect, useRef, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { dateTime } from '../ui/time.js';
import { Verifying } from './secret-dialog.js';
import { WebhookDialog } from './webhook-dialog.js';
import { sitesOf } from './webhooks.js';
import { DELIVERIES, STATES, hostOf, isPrivate, topicWords } from './words.js';

/** @typedef {ApiSchema<'WebhookView'>} Webhook */
/** @typedef {ApiSchema<'DeliveryView'>} Delivery */
/** @typedef {{items: Delivery[], more: boolean}} Page */

/** How often what is shown is read again: there is no event for it. */
const LOOK_MS = 5_000;
/** How many deliveries are shown at first, and how many more each time. */
const SOME = 50;
/** The most that one request reads. */
const MOST = 200;

/** @param {{webhook: Webhook, sites: ApiSchema<'SiteView'>[], reload: () => Promise<void>, show: (secret: ApiSchema<'SecretView'>) => void}} props */
export function OneWebhook({ webhook, sites, reload, show }) {
  const { id, name, url, topics, state, with_names: withNames, created_at: since, old_secret_until: until } = webhook;
  const [changing, setChanging] = useState(false);
  const [tested, setTested] = useState(/** @type {Delivery | undefined} */ (undefined));
  const only = parameter('state');
  const wanted = useRef(SOME);
  const deliveries = useLoad(() => read(id, only, wanted.current), [id, only]);
  const again = () => Promise.all([reload(), deliveries.reload()]).then(() => {});
  const { act, trouble } = useActions(again);
  useEffect(() => {
    let busy = false;
    const look = async () => {
      if (busy || document.hidden) return;
      busy = true;
      await again();
      busy = false;
    };
    const looking = setInterval(look, LOOK_MS);
    return () => clearInterval(looking);
  }, [only]);

  const test = act(async () => setTested(await request('POST', `/api/webhooks/${id}/test`)));
  const turn = (/** @type {boolean} */ active) =>
    act(async () => {
      setTested(undefined);
      await patch(`/api/webhooks/${id}`, { active });
    }, active ? `${name} is on` : `${name} is paused`);
  const rotate = act(async () => {
    const text = 'For 24 hours, messages are signed with the new and the current secret, so that you can change it in the receiver without losing one. After that, only the new one is valid.';
    if (await ask({ title: `A new secret for ${name}?`, text, action: 'Generate a new secret' })) show(await request('POST', `/api/webhooks/${id}/rotate`));
  });
  const drop = act(async () => {
    if (!(await ask({ title: `Remove ${name}?`, text: 'Messages that wait are not sent, and the list of its deliveries is deleted.', action: 'Remove' }))) return false;
    await remove(`/api/webhooks/${id}`);
    setParameters({ webhook: '', state: '' });
  }, `${name} was removed`);
  const [words = state, tone] = STATES[state] ?? [];
  const refused = [tested, deliveries.data?.items[0]].some((one) => one?.state !== 'delivered' && isPrivate(one?.error));
  return html`
    <p class="way-back"><a href="/messages">All webhooks</a></p>
    <section class="card pad" aria-labelledby="webhook">
      <div class="section-head"><h2 id="webhook">${name}</h2><${Badge} tone=${tone}>${words}<//></div>
      <${StateNotice} webhook=${webhook} />
      ${refused && html`<${PrivateNotice} url=${url} />`}
      <dl class="facts">
        <div class="all"><dt>Address</dt><dd>${url}</dd></div>
        <div class="all"><dt>Sent when</dt><dd><ul>${topics.map((topic) => html`<li key=${topic}>${topicWords(topic)} <code class="soft">${topic}</code></li>`)}</ul></dd></div>
        ${sites.length > 1 && html`<div><dt>About</dt><dd>${sentence(sitesOf(webhook, sites))}</dd></div>`}
        <div><dt>Names of employees</dt><dd>${withNames ? 'In the messages' : 'Left out'}</dd></div>
        <div><dt>Added</dt><dd>${dateTime(since)}</dd></div>
        ${until && Date.parse(until) > Date.now() && html`<div><dt>The previous secret is valid until</dt><dd>${dateTime(until)}</dd></div>`}
      </dl>
      <div class="outcome" aria-live="polite">${trouble}${tested && html`<${TestNotice} delivery=${tested} />`}</div>
      <div class="actions">
        <${Button} tone="primary" onClick=${test}>Send a test<//>
        <button class="button" type="button" onClick=${() => setChanging(true)}>Change</button>
        <${Button} onClick=${turn(state !== 'on')}>${state === 'on' ? 'Pause' : 'Turn on'}<//>
        <${Button} onClick=${rotate}>New secret<//>
        <${Button} tone="danger" onClick=${drop}>Remove<//>
      </div>
      <${Verifying} />
    </section>
    <${Deliveries}
      list=${deliveries}
      only=${only}
      on=${state === 'on'}
      more=${async () => {
        wanted.current += SOME;
        await deliveries.reload();
      }}
      replayFailed=${act(() => post(`/api/webhooks/${id}/replay`, {}), 'They are sent again, oldest first')}
      replay=${(/** @type {Delivery} */ { id: delivery }) => act(() => request('POST', `/api/deliveries/${delivery}/replay`), 'It is sent again')}
    />
    ${
      changing &&
      html`<${WebhookDialog}
        webhook=${webhook}
        sites=${sites}
        done=${async () => {
          setChanging(false);
          await again();
        }}
        close=${() => setChanging(false)}
      />`
    }
  `;
}

/**
 * Reads the newest deliveries.
 * @param {string} webhook
 * @param {string} state
 * @param {number} wanted
 * @returns {Promise<Page>}
 */
async function read(webhook, state, wanted) {
  /** @type {Delivery[]} */
  const items = [];
  /** @type {string | null | undefined} */
  let cursor;
  do {
    const page = await get(`/api/webhooks/${webhook}/deliveries`, { query: { state, limit: String(Math.min(wanted, MOST)), cursor } });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < wanted);
  return { items, more: Boolean(cursor) };
}

/** Says why nothing is sent, and what to do. @param {{webhook: Webhook}} props */
function StateNotice({ webhook: { state, disabled_reason: reason, disabled_at: at } }) {
  if (state === 'off') return html`<${Notice} kind="info">It is paused. What happens now is not sent later.<//>`;
  if (state !== 'disabled') return null;
  return html`<${Notice} kind="warn"><strong>Rollcall disabled it${at && ` on ${dateTime(at)}`}: ${reason}.</strong> What happened since is not sent. Repair the receiver or change the address, send a test, then turn the webhook on again.<//>`;
}

/** Explains an address that Rollcall does not connect to. @param {{url: string}} props */
const PrivateNotice = ({ url }) => html`
  <${Notice} kind="warn">
    <strong>The receiver is not on the internet.</strong> Rollcall does not connect to private addresses, so that a webhook cannot reach what only the server can. If the receiver is in your own network, an operator of the service adds it to the setting <code>WEBHOOK_ALLOW</code>, for example <code>WEBHOOK_ALLOW=${hostOf(url)}</code>, and starts the service again.
  <//>
`;

/** @param {{delivery: Delivery}} props */
const TestNotice = ({ delivery: { state, status, error } }) =>
  state === 'delivered' ? html`<${Notice} kind="good">The receiver accepted the test: it answered ${status}.<//>` : html`<${Notice} kind="bad">The test failed. ${sentence(error ?? '')}.<//>`;

/** @param {{list: import('../kit/load.js').Loaded<Page>, only: string, on: boolean, more: () => Promise<void>, replayFailed: () => Promise<void>, replay: (delivery: Delivery) => () => Promise<void>}} props */
function Deliveries({ list, only, on, more, replayFailed, replay }) {
  const choices = Object.entries({ '': 'All', ...Object.fromEntries(Object.entries(DELIVERIES).map(([code, [words]]) => [code, words])) });
  return html`
    <section class="card" aria-labelledby="deliveries">
      <div class="section-head pad-head">
        <h2 id="deliveries">Deliveries</h2>
        <div class="chips tight" role="group" aria-label="Which deliveries">${choices.map(([code, words]) => html`<button key=${code} type="button" class="chip" aria-pressed=${String(only === code)} onClick=${() => setParameters({ state: code }, { stay: true })}>${words}</button>`)}</div>
      </div>
      <${Show} of=${list}>
        ${(/** @type {Page} */ { items, more: isMore }) => html`
          ${items.length === 0 && html`<${Empty}><p>${only ? 'There is no such delivery.' : 'Nothing was sent yet. Deliveries are listed for seven days.'}</p><//>`}
          ${only === 'failed' && items.length > 1 && html`<div class="card-foot"><${Button} onClick=${replayFailed}>Send all failed again<//></div>`}
          <ul class="rows">${items.map((delivery) => html`<${Row} key=${delivery.id} delivery=${delivery} on=${on} replay=${replay(delivery)} />`)}</ul>
          ${isMore && html`<div class="card-foot"><${Button} onClick=${more}>Show more<//></div>`}
        `}
      <//>
    </section>
  `;
}

/** @param {{delivery: Delivery, on: boolean, replay: () => Promise<void>}} props */
function Row({ delivery, on, replay }) {
  const { id, topic, at, state, attempts, error, body } = delivery;
  const [words = state, tone] = DELIVERIES[state] ?? [];
  return html`
    <li data-delivery=${id} data-state=${state}>
      <div class="row">
        <div class="row-main">
          <span class="row-title">${topic === 'webhook.test' ? 'A test' : topicWords(topic)}</span>
          <span class="row-note wrap">${dateTime(at)} · ${plural(attempts, 'attempt')}${answerOf(delivery)}${nextOf(delivery, on)}</span>
          ${error && state !== 'delivered' && html`<span class="row-why">${sentence(error)}</span>`}
        </div>
        <${Badge} tone=${tone}>${words}<//>
        ${state !== 'waiting' && html`<${Button} label=${`Send again: ${topic} of ${dateTime(at)}`} onClick=${replay}>Send again<//>`}
      </div>
      ${body && html`<details class="row-details"><summary>The message</summary><pre class="code" tabindex="0" role="region" aria-label=${`The message ${id}`}>${pretty(body)}</pre></details>`}
    </li>
  `;
}

/** @param {Delivery} delivery */
const answerOf = ({ state, status }) => (state === 'delivered' && status ? ` · answered ${status}` : '');

/** When it is tried next. @param {Delivery} delivery @param {boolean} on */
function nextOf({ next_attempt_at: next }, on) {
  if (!next) return '';
  if (!on) return ' · waits until the webhook is on';
  return Date.parse(next) > Date.now() ? ` · next attempt ${dateTime(next)}` : ' · next attempt now';
}

/** @param {string} body */
function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

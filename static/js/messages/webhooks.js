// Webhooks: the list of them, and one with its deliveries.

import { get } from '../api.js';
import { parameter, setParameters } from '../kit/address.js';
import { Badge, Empty, Icon, Notice } from '../kit/basics.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { plural } from '../ui/dom.js';
import { dateTime } from '../ui/time.js';
import { SecretDialog } from './secret-dialog.js';
import { WebhookDialog } from './webhook-dialog.js';
import { OneWebhook } from './webhook.js';
import { DELIVERIES, STATES, hostOf, topicWords } from './words.js';

/** @typedef {ApiSchema<'WebhookView'>} Webhook */
/** @typedef {ApiSchema<'SecretView'>} WithSecret */
/** @typedef {ApiSchema<'DeliveryView'>} Delivery */

/** @param {import('../pages/messages.js').PartProps} props */
export function Webhooks({ sites }) {
  const list = useLoad(async () => (await get('/api/webhooks')).items, []);
  const [secret, setSecret] = useState(/** @type {WithSecret | undefined} */ (undefined));
  const chosen = parameter('webhook');
  return html`
    <${Show} of=${list}>
      ${(/** @type {Webhook[]} */ all) => {
        if (!chosen) return html`<${List} all=${all} sites=${sites} reload=${list.reload} show=${setSecret} />`;
        const webhook = all.find(({ id }) => id === chosen);
        if (!webhook) return html`<${Notice} kind="info">This webhook does not exist any more. <a href="/messages">All webhooks</a><//>`;
        return html`<${OneWebhook} key=${webhook.id} webhook=${webhook} sites=${sites} reload=${list.reload} show=${setSecret} />`;
      }}
    <//>
    ${secret && html`<${SecretDialog} webhook=${secret} close=${() => setSecret(undefined)} />`}
  `;
}

/** @param {{all: Webhook[], sites: ApiSchema<'SiteView'>[], reload: () => Promise<void>, show: (secret: WithSecret) => void}} props */
function List({ all, sites, reload, show }) {
  const [adding, setAdding] = useState(false);
  const added = async (/** @type {Webhook | WithSecret} */ webhook) => {
    setAdding(false);
    await reload();
    setParameters({ webhook: webhook.id });
    if ('secret' in webhook) show(webhook);
  };
  return html`
    <div class="part-head">
      <p class="soft">A webhook is an address to which Rollcall sends a message when something happens: payroll, a chat, a program of your own. Nothing is lost on the way, and messages never contain photos.</p>
      <button class="button primary" type="button" onClick=${() => setAdding(true)}><${Icon} name="plus" />Add a webhook</button>
    </div>
    <section class="card" aria-label="Webhooks">
      ${all.length === 0 && html`<${Empty}><${Icon} name="link" /><p>There is no webhook yet.</p><//>`}
      <ul class="rows">${all.map((webhook) => html`<${Row} key=${webhook.id} webhook=${webhook} sites=${sites} />`)}</ul>
    </section>
    ${adding && html`<${WebhookDialog} sites=${sites} done=${added} close=${() => setAdding(false)} />`}
  `;
}

/** @param {{webhook: Webhook, sites: ApiSchema<'SiteView'>[]}} props */
function Row({ webhook, sites }) {
  const { id, name, url, state } = webhook;
  const last = useLoad(async () => (await get(`/api/webhooks/${id}/deliveries`, { query: { limit: '1' } })).items[0] ?? null, [id]);
  const [words = state, tone] = STATES[state] ?? [];
  const open = (/** @type {MouseEvent} */ event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    setParameters({ webhook: id });
  };
  return html`
    <li data-webhook=${id}>
      <a class="row" href=${`/messages?webhook=${id}`} onClick=${open}>
        <div class="row-main">
          <span class="row-title">${name}</span>
          <span class="row-note wrap">${hostOf(url)} · ${topicsOf(webhook)}${sites.length > 1 && ` · ${sitesOf(webhook, sites)}`}</span>
          <span class="row-note wrap">${last.data ? lastWords(last.data) : last.data === null ? 'Nothing was sent yet' : ' '}</span>
        </div>
        <${Badge} tone=${tone}>${words}<//>
      </a>
    </li>
  `;
}

/** "A punch was recorded" or "4 topics". @param {Webhook} webhook */
const topicsOf = ({ topics }) => (topics.length === 1 ? topicWords(topics[0] ?? '') : plural(topics.length, 'topic'));

/** "Harbor, Airport" or "all sites". @param {Webhook} webhook @param {ApiSchema<'SiteView'>[]} sites */
export const sitesOf = ({ sites: only }, sites) => only?.map((id) => sites.find((site) => site.id === id)?.name ?? 'a site that was removed').join(', ') ?? 'all sites';

/** @param {Delivery} delivery */
function lastWords({ state, at, error }) {
  const [words = state] = DELIVERIES[state] ?? [];
  return `Last message of ${dateTime(at)}: ${words.toLocaleLowerCase()}${error && state !== 'delivered' ? `, ${error}` : ''}`;
}

// The dialog that adds or changes a webhook.

import { patch, post } from '../api.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Choice, Field, Form, Group, fieldProblem } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { TOPICS } from './words.js';

/** @typedef {ApiSchema<'WebhookView'>} Webhook */

/** @param {{webhook?: Webhook, sites: ApiSchema<'SiteView'>[], done: (webhook: Webhook | ApiSchema<'SecretView'>) => Promise<void>, close: () => void}} props */
export function WebhookDialog({ webhook, sites, done, close }) {
  const [reach, setReach] = useState(webhook?.sites ? 'some' : 'all');
  const send = async (/** @type {Record<string, string>} */ data) => {
    const settings = {
      name: (data.name ?? '').trim(),
      url: (data.url ?? '').trim(),
      topics: Object.keys(TOPICS).filter((topic) => data[topic] === 'on'),
      sites: reach === 'some' ? sites.map(({ id }) => id).filter((id) => data[`site ${id}`] === 'on') : null,
      with_names: data.with_names === 'on',
    };
    if (settings.topics.length === 0) throw fieldProblem('topics', 'choose at least one');
    if (settings.sites?.length === 0) throw fieldProblem('sites', 'choose at least one, or all sites');
    await done(await (webhook ? patch(`/api/webhooks/${webhook.id}`, settings) : post('/api/webhooks', { ...settings, active: true })));
  };
  const topics = Object.entries(TOPICS);
  return html`
    <${Dialog} title=${webhook ? `Change ${webhook.name}` : 'Add a webhook'} onClose=${close} sheet>
      <${Form} send=${send} action=${webhook ? 'Save' : 'Add'} cancel=${close}>
        <${Field} name="name" label="Name" maxlength="120" placeholder="Payroll" invalid="Type a name" value=${webhook?.name} autofocus />
        <${Field} name="url" label="Address" type="url" inputmode="url" maxlength="2000" placeholder="https://example.org/rollcall" invalid="Type an address such as https://example.org/rollcall" value=${webhook?.url} hint=${html`Rollcall connects only to addresses on the internet. A receiver in your own network must be in the setting <code>WEBHOOK_ALLOW</code>.`} />
        <${Group} label="Send a message when" name="topics">${topics.map(([topic, [words, hint]]) => html`<${Check} key=${topic} name=${topic} label=${words} hint=${hint} checked=${webhook ? webhook.topics.includes(topic) : topic === 'punch.created'} />`)}<//>
        ${
          sites.length > 1 &&
          html`
            <${Choice}
              label="About"
              name="reach"
              value=${reach}
              options=${[
                ['all', 'All sites'],
                ['some', 'Only some sites'],
              ]}
              choose=${setReach}
            />
            ${reach === 'some' && html`<${Group} label="Which sites" name="sites">${sites.map(({ id, name }) => html`<${Check} key=${id} name=${`site ${id}`} label=${name} checked=${webhook?.sites?.includes(id) ?? false} />`)}<//>`}
          `
        }
        <${Check} name="with_names" label="With the names of employees" hint="Without them, messages have the ID and the staff number only: the receiver learns less about people." checked=${webhook?.with_names ?? false} />
      <//>
    <//>
  `;
}

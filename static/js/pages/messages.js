// Messages: what Rollcall tells other systems and people.

import { parameter, setParameters } from '../kit/address.js';
import { Notice, PageHead } from '../kit/basics.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { Letters } from '../messages/letters.js';
import { Webhooks } from '../messages/webhooks.js';
import { abilities, currentAccount } from '../session.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {{sites: ApiSchema<'SiteView'>[]}} PartProps what every part gets */

/** The parts by their name in the address. @type {Record<string, [words: string, part: (props: PartProps) => unknown]>} */
const PARTS = {
  webhooks: ['Webhooks', Webhooks],
  letters: ['Email', Letters],
};
const FIRST = 'webhooks';

const read = async () => ({ can: abilities(await currentAccount()), sites: await loadSites() });

export function Page() {
  const known = useLoad(read, []);
  const chosen = parameter('part', FIRST);
  const part = chosen in PARTS ? chosen : FIRST;
  return html`
    <${PageHead} title="Messages" lead=${html`<p>What Rollcall tells other systems and people by itself. Programs can also ask: <a href="/api/docs">the API</a></p>`} />
    <${Show} of=${known}>
      ${(/** @type {Awaited<ReturnType<typeof read>>} */ { can, sites }) => {
        if (!can.administer) return html`<${Notice} kind="info">Only admins decide what other systems learn.<//>`;
        const [, Part] = PARTS[part] ?? [];
        return html`<${Tabs} part=${part} /><${Part} key=${part} sites=${sites} />`;
      }}
    <//>
  `;
}

/** @param {{part: string}} props */
function Tabs({ part }) {
  const open = (/** @type {string} */ name) => (/** @type {MouseEvent} */ event) => {
    // Other clicks open a tab or a window.
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    setParameters({ part: name === FIRST ? '' : name, webhook: '', state: '' });
  };
  return html`<nav class="tabs" aria-label="Parts of the messages">${Object.entries(PARTS).map(([name, [words]]) => html`<a key=${name} href=${name === FIRST ? '/messages' : `/messages?part=${name}`} aria-current=${name === part ? 'page' : undefined} onClick=${open(name)}>${words}</a>`)}</nav>`;
}

// What to do on the first day, until everything is there for the first punch.

import { get } from '../api.js';
import { Icon } from './basics.js';
import { html } from './html.js';
import { useLoad } from './load.js';

async function read() {
  const [people, devices] = await Promise.all([get('/api/employees', { query: { limit: '200' } }), get('/api/devices')]);
  return [
    { done: people.items.length > 0, href: '/people#new', text: 'Add a person' },
    { done: people.items.some((person) => person.enrolled), href: '/people', text: 'Enroll their face' },
    { done: devices.items.length > 0, href: '/devices', text: 'Add a kiosk and pair it' },
  ];
}

/** Shows the steps; nothing when all are done. */
export function FirstSteps() {
  const { data: steps = [] } = useLoad(read, []);
  if (steps.every(({ done }) => done)) return null;
  return html`
    <section class="card first-steps empty" aria-labelledby="first-steps">
      <${Icon} name="face" />
      <h2 id="first-steps">Three steps to the first punch</h2>
      <ol class="steps">
        ${steps.map(
          ({ done, href, text }, index) => html`<li key=${href}>
            <a href=${href} class=${done ? 'done' : ''}>
              <span class="mark">${done ? html`<${Icon} name="check" />` : index + 1}</span><span>${text}</span>${done && html`<span class="visually-hidden">(done)</span>`}
            </a>
          </li>`,
        )}
      </ol>
    </section>
  `;
}

// `<rollcall-header>`: the mark, the way around, and who is signed in.

import { explain, get } from '../api.js';
import { currentAccount, signOut } from '../session.js';
import { el, icon, notice } from './dom.js';
import { sentence } from './form.js';
import { toast } from './toast.js';

const ROOMS = [
  ['/', 'Desk'],
  ['/people', 'People'],
  ['/cameras', 'Cameras'],
  ['/devices', 'Devices'],
];

/** How often an admin's page asks what the service does without. */
const TROUBLES_MS = 15_000;

class RollcallHeader extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    const who = el('span', { class: 'who-name' });
    const leave = el('button', { class: 'button plain', type: 'button', 'aria-label': 'Sign out', title: 'Sign out' }, icon('sign-out'));
    leave.addEventListener('click', async () => {
      try {
        await signOut();
      } catch (error) {
        toast(sentence(explain(error)));
      }
    });
    this.append(
      el('a', { class: 'skip', href: '#main', text: 'Skip to the content' }),
      el(
        'div',
        { class: 'header' },
        brand(),
        el('nav', { class: 'nav', 'aria-label': 'Pages' }, ...ROOMS.map(([href, name]) => link(href, name))),
        el('div', { class: 'who' }, who, leave),
      ),
    );
    currentAccount().then(
      (account) => {
        who.textContent = account.name;
        who.title = `${account.email}, ${account.role}`;
        if (account.role === 'admin') this.#watchTroubles();
      },
      () => {}, // the page itself says what is wrong
    );
  }

  /** What the service does without, or cannot do, in a line under the header for as long as that is so. */
  async #watchTroubles() {
    const place = el('div', { class: 'troubles' });
    this.append(place);
    for (;;) {
      try {
        const { troubles } = await get('/api/status');
        const words = troubles.map((/** @type {string} */ trouble) => sentence(trouble));
        if (place.dataset.words !== words.join('\n')) place.replaceChildren(...words.map((/** @type {string} */ text) => notice('warn', text)));
        place.dataset.words = words.join('\n');
      } catch {
        // the page itself says what is wrong
      }
      await new Promise((resolve) => setTimeout(resolve, TROUBLES_MS));
      if (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
    }
  }
}

/** The mark and the name. */
export function brand() {
  return el('a', { class: 'brand', href: '/' }, el('img', { src: '/static/img/logo.svg', alt: '', width: 32, height: 32 }), el('span', { text: 'Rollcall' }));
}

/**
 * @param {string} href
 * @param {string} name
 */
function link(href, name) {
  return el('a', { href, text: name, 'aria-current': location.pathname === href && 'page' });
}

customElements.define('rollcall-header', RollcallHeader);

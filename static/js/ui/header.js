// `<rollcall-header>`: logo, navigation, and the signed-in account.

import { explain, get } from '../api.js';
import { abilities, currentAccount, describeGrants, signOut } from '../session.js';
import { watchWaiting } from '../waiting.js';
import { el, icon, notice } from './dom.js';
import { sentence } from './form.js';
import { toast } from './toast.js';

const ROOMS = [
  ['/', 'Today'],
  ['/inbox', 'Inbox'],
  ['/people', 'People'],
  ['/plans', 'Plans'],
  ['/exports', 'Exports'],
  ['/punches', 'Punches'],
  ['/cameras', 'Cameras'],
  ['/devices', 'Devices'],
];

/** Pages for accounts that may see more than their own records. */
const SURVEYED = new Set(['/inbox', '/plans', '/exports', '/punches', '/people', '/cameras', '/devices', '/sites']);

/** How often an admin's page asks for missing dependencies. */
const TROUBLES_MS = 15_000;

class RollcallHeader extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.setAttribute('role', 'banner');
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
      el('a', { class: 'skip', href: '#main', text: 'Skip to content' }),
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
        who.title = `${account.email}, ${describeGrants(account)}`;
        const can = abilities(account);
        if (can.administer) this.#watchTroubles();
        if (can.edit) this.#watchWaiting(account);
        const rooms = /** @type {NodeListOf<HTMLAnchorElement>} */ (this.querySelectorAll('.nav a'));
        for (const room of rooms) room.hidden = !can.survey && SURVEYED.has(room.pathname);
      },
      () => {}, // the page itself shows the error
    );
  }

  /** Shows beside "Inbox" how much waits for a decision. @param {import('../waiting.js').Account} account */
  #watchWaiting(account) {
    const inbox = this.querySelector('.nav a[href="/inbox"]');
    const place = el('span', { class: 'count', hidden: true });
    inbox?.append(' ', place);
    watchWaiting(account, (count) => {
      place.hidden = count === 0;
      place.replaceChildren(String(count), el('span', { class: 'visually-hidden', text: ' waiting' }));
    });
  }

  /** Shows missing dependencies and broken functions under the header while they last. */
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
        // the page itself shows the error
      }
      await new Promise((resolve) => setTimeout(resolve, TROUBLES_MS));
      if (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
    }
  }
}

/** Returns the logo with the name. */
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

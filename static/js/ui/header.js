// `<rollcall-header>`: logo, navigation, and the signed-in account.

import { explain, get } from '../api.js';
import { abilities, describeGrants, persistentAccount, signOut } from '../session.js';
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
  ['/messages', 'Messages'],
  ['/cameras', 'Cameras'],
  ['/devices', 'Devices'],
  ['/sites', 'Sites'],
  ['/accounts', 'Accounts'],
];

/** Pages for accounts that may see more than their own records. */
const SURVEYED = new Set(['/inbox', '/plans', '/exports', '/punches', '/people', '/cameras', '/devices', '/sites']);

/** Pages for accounts that may invite people. */
const INVITING = new Set(['/accounts']);

/** How often an admin's page asks for missing dependencies. */
const TROUBLES_MS = 15_000;

class RollcallHeader extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.setAttribute('role', 'banner');
    const who = el('a', { class: 'who-name', href: '/account', 'aria-current': location.pathname === '/account' && 'page' });
    const leave = el('button', { class: 'button plain', type: 'button', 'aria-label': 'Sign out', title: 'Sign out' }, icon('sign-out'));
    leave.addEventListener('click', async () => {
      try {
        await signOut();
      } catch (error) {
        toast(sentence(explain(error)));
      }
    });
    const nav = el('nav', { class: 'nav', id: 'pages', 'aria-label': 'Pages' }, ...ROOMS.map(([href, name]) => link(href, name)));
    this.append(
      el('a', { class: 'skip', href: '#main', text: 'Skip to content' }),
      el('div', { class: 'header' }, brand(), this.#menu(nav), nav, el('div', { class: 'who' }, who, leave)),
    );
    persistentAccount().then(
      (account) => {
        who.textContent = account.name;
        who.title = `My account: ${account.email}, ${describeGrants(account)}`;
        const can = abilities(account);
        if (can.administer) this.#watchTroubles();
        else this.querySelector('.nav a[href="/messages"]')?.remove();
        if (can.edit) this.#watchWaiting(account);
        const rooms = /** @type {NodeListOf<HTMLAnchorElement>} */ (this.querySelectorAll('.nav a'));
        for (const room of rooms) {
          room.hidden = (!can.survey && SURVEYED.has(room.pathname)) || (!can.administer && !can.invite && INVITING.has(room.pathname));
        }
      },
      () => {}, // the page itself shows the error
    );
  }

  /**
   * Returns the button that opens the navigation on a small screen.
   * @param {HTMLElement} nav
   */
  #menu(nav) {
    const button = el('button', { class: 'button plain menu', type: 'button', 'aria-expanded': 'false', 'aria-controls': nav.id }, icon('menu'), 'Menu');
    const turn = (/** @type {boolean} */ open) => button.setAttribute('aria-expanded', String(open));
    const isOpen = () => button.getAttribute('aria-expanded') === 'true';
    button.addEventListener('click', () => turn(!isOpen()));
    document.addEventListener('click', ({ target }) => this.contains(/** @type {Node} */ (target)) || turn(false));
    this.addEventListener('keydown', ({ key }) => {
      if (key !== 'Escape' || !isOpen()) return;
      turn(false);
      button.focus();
    });
    return button;
  }

  /** Shows beside "Inbox", and on the button of the menu, how much waits for a decision. @param {import('../waiting.js').Account} account */
  #watchWaiting(account) {
    const places = [...this.querySelectorAll('.nav a[href="/inbox"], .menu')].map((host) => {
      const place = el('span', { class: 'count', hidden: true });
      host.append(' ', place);
      return place;
    });
    watchWaiting(account, (count) => {
      for (const place of places) {
        place.hidden = count === 0;
        place.replaceChildren(String(count), el('span', { class: 'visually-hidden', text: ' waiting' }));
      }
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
  return el('a', { href, text: name, hidden: INVITING.has(href), 'aria-current': location.pathname === href && 'page' });
}

customElements.define('rollcall-header', RollcallHeader);

// Prints badges: chooses people, issues a badge to each of them, and shows the pages to print once.

import { explain, getAll, goToSignIn, readAnswer, send } from '../api.js';
import { ask, closable, closeButton } from '../ui/dialog.js';
import { byId, el, notice, plural } from '../ui/dom.js';
import { busy, sentence } from '../ui/form.js';
import { dateName } from '../ui/time.js';

/** Most badges of a request. */
const MOST = 200;

/** @typedef {{id: string, name: string}} Person */

const dialog = closable(byId('badges-dialog'));
const choices = byId('badges-people');
const print = byId('badges-print');

/** @type {HTMLInputElement[]} */
let boxes = [];
/** Those of people without a badge, as far as that is known. @type {Set<HTMLInputElement>} */
let without = new Set();

/**
 * Connects the button to the dialog in which people are chosen.
 * @param {() => Record<string, string>} filter the filter of the list of people
 */
export function mountBadges(filter) {
  byId('print-badges').addEventListener('click', async () => {
    byId('badges-trouble').replaceChildren();
    choices.replaceChildren(el('li', { class: 'skeleton' }));
    boxes = [];
    without = new Set();
    count();
    dialog.showModal();
    try {
      const query = { ...filter(), active: 'true' };
      const [people, credentials] = await Promise.all([getAll('/api/employees', query), getAll('/api/credentials', query)]);
      const issued = new Map(credentials.map(({ employee, badge }) => [employee, badge?.issued_at]));
      const fresh = people.filter(({ id }) => !issued.get(id)).length <= MOST;
      boxes = people.map(({ id }) => el('input', { type: 'checkbox', value: id, checked: fresh && !issued.get(id) }));
      without = new Set(boxes.filter(({ value }) => !issued.get(value)));
      choices.replaceChildren(
        ...people.map(({ id, name, code }, at) => {
          const date = issued.get(id);
          return el('li', {}, el('label', { class: 'check' }, boxes[at], el('span', {}, `${name} · ${code}`, date && el('span', { class: 'consent-text', text: `Has a badge since ${dateName(date)}` }))));
        }),
      );
      byId('badges-none').hidden = people.length > 0;
      count();
    } catch (error) {
      choices.replaceChildren();
      byId('badges-trouble').replaceChildren(notice('bad', sentence(explain(error))));
    }
  });
  choices.addEventListener('change', count);
  const choose = (/** @type {(box: HTMLInputElement) => boolean} */ wanted) => () => {
    for (const box of boxes) box.checked = wanted(box);
    count();
  };
  byId('badges-without').addEventListener('click', choose((box) => without.has(box)));
  byId('badges-all').addEventListener('click', () => {
    const all = boxes.every(({ checked }) => checked);
    choose(() => !all)();
  });
  print.addEventListener('click', async () => {
    const ids = boxes.filter(({ checked }) => checked).map(({ value }) => value);
    try {
      const issued = await busy(print, () => issue(ids));
      dialog.close();
      showBadges(issued);
    } catch (error) {
      byId('badges-trouble').replaceChildren(notice('bad', sentence(explain(error))));
    }
    count();
  });
}

function count() {
  byId('badges-without').hidden = without.size === 0;
  const chosen = boxes.filter(({ checked }) => checked).length;
  print.disabled = chosen === 0 || chosen > MOST;
  print.textContent = chosen === 0 ? 'Issue badges' : `Issue ${plural(chosen, 'badge')}`;
  byId('badges-count').textContent = chosen > MOST ? `At most ${MOST} badges at a time.` : `${plural(chosen, 'person', 'people')} chosen.`;
}

/**
 * Issues a badge to a person, after a question if that ends another one. Returns whether it did.
 * @param {Person} person
 * @param {boolean} replaces
 */
export async function issueBadge({ id, name }, replaces) {
  const sure =
    !replaces ||
    (await ask({ title: `Issue a new badge to ${name}?`, text: 'The badge that the person has is no longer valid from now on.', action: 'Issue a new badge' }));
  if (!sure) return false;
  showBadges(await issue([id]));
  return true;
}

/**
 * Issues badges, and returns their pages, which the server shows only once.
 * @param {string[]} employees
 */
async function issue(employees) {
  const response = await send('POST', '/api/badges/sheet', { json: { employees } });
  if (response.status === 401) goToSignIn();
  if (!response.ok) await readAnswer(response);
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  return [...page.body.children].map((sheet) => document.importNode(sheet, true));
}

/**
 * Shows badges, and prints them as often as wanted until the dialog is closed.
 * @param {Element[]} sheets
 */
function showBadges(sheets) {
  let printed = false;
  const markPrinted = () => {
    printed = true;
  };
  const printAll = () => {
    markPrinted();
    window.print();
  };
  const paper = el('div', { class: 'badge-paper', 'aria-hidden': 'true' }, ...sheets);
  const shown = el(
    'dialog',
    { class: 'wide', 'aria-labelledby': 'paper-title' },
    el('div', { class: 'dialog-head' }, el('h2', { id: 'paper-title', text: sheets.length === 1 ? 'Print this page' : `Print these ${sheets.length} pages` }), closeButton()),
    el(
      'div',
      { class: 'dialog-body' },
      el('p', { text: 'Rollcall shows badges only once: print them now, in full size. A badge is as good as a key, so give it only to its person.' }),
      el('div', { class: 'badge-preview', role: 'img', 'aria-label': 'The page to print', tabindex: 0 }, sheets[0]?.cloneNode(true)),
      el(
        'div',
        { class: 'actions end' },
        el('button', { class: 'button', type: 'button', 'data-close': true, text: 'Close' }),
        el('button', { class: 'button primary', type: 'button', text: 'Print', onclick: printAll }),
      ),
    ),
  );
  const warn = (/** @type {Event} */ event) => printed || event.preventDefault();
  addEventListener('afterprint', markPrinted);
  addEventListener('beforeunload', warn);
  const mayClose = () => printed || ask({ title: 'Close without printing?', text: 'Rollcall does not show these badges again, and earlier badges of these people no longer work. You would have to issue new ones.', action: 'Close', cancel: 'Stay' });
  document.body.append(paper, closable(shown, mayClose));
  shown.addEventListener('close', () => {
    removeEventListener('afterprint', markPrinted);
    removeEventListener('beforeunload', warn);
    paper.remove();
    shown.remove();
  });
  shown.showModal();
}

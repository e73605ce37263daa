// The desk: today's punches and who is in. The live feed says when there is something new; without it the desk asks
// every few seconds. Nothing is done while nobody looks.

import { explain, get } from './api.js';
import { abilities, currentAccount } from './session.js';
import { avatar, byId, el, icon, notice } from './ui/dom.js';
import { sentence } from './ui/form.js';
import { kindBadge } from './ui/kinds.js';
import { clockTime, dateTime, dayName, startOfDay } from './ui/time.js';

const REFRESH_MS = 3000;
/** With the feed, asking is only for what it may have missed. */
const REFRESH_WITH_FEED_MS = 30_000;
/** Every so many refreshes the whole day is asked for again: punches saved offline arrive late, in the middle. */
const FULL_EVERY = 20;
/** Somebody who came in yesterday evening is still in after midnight, up to this long. */
const LONGEST_SHIFT_MS = 16 * 3600_000;
const PAGE = '200';
/** What stands for a name that is gone. */
const DELETED = 'Deleted person';

/**
 * @typedef {{id: string, employee: string, name: string, employee_deleted: boolean, kind: 'in' | 'out' | 'break_start' | 'break_end',
 *   at: string, recorded_at: string, clock: string, site: string | null, device_name: string | null,
 *   similarity: number | null, threshold: number | null, margin: number | null, liveness: number | null,
 *   model: string | null, frames: number | null, look: number | null}} Punch
 */

/** @type {Map<string, Punch>} */
let punches = new Map();
/** @type {Map<string, HTMLElement>} */
const rows = new Map();
let day = startOfDay();
let refreshes = 0;
let loaded = false;
/** Whether punches have pictures that may be looked at here. */
let pictures = false;

/** Asks for what is new; for everything when `all`. */
async function fetchPunches(all) {
  const from = new Date(Math.min(day.getTime(), Date.now() - LONGEST_SHIFT_MS)).toISOString();
  const known = all ? new Map() : new Map(punches);
  let cursor;
  do {
    const page = await get('/api/punches', { query: { from, limit: PAGE, cursor } });
    const fresh = page.items.filter((/** @type {Punch} */ punch) => !known.has(punch.id));
    for (const punch of fresh) known.set(punch.id, { ...punch, name: punch.name ?? DELETED });
    cursor = fresh.length === page.items.length ? page.next : null;
  } while (cursor);
  punches = known;
}

function render() {
  const newestFirst = [...punches.values()].sort((a, b) => b.at.localeCompare(a.at));
  const today = newestFirst.filter((punch) => new Date(punch.at) >= day);
  const present = whoIsIn(newestFirst);

  byId('day').textContent = dayName(day);
  byId('count-in').textContent = String(present.length);
  byId('count-came').textContent = String(new Set(today.map((punch) => punch.employee)).size);
  byId('count-punches').textContent = String(today.length);

  placeRows(byId('punches'), today);
  byId('present').replaceChildren(...present.map(presentRow));
  byId('present-empty').hidden = present.length > 0;
  byId('punches').removeAttribute('aria-busy');
  if (today.length > 0) byId('punches-empty').hidden = true;
  else if (byId('punches-empty').hidden) showFirstSteps();
}

/**
 * The last punch of everybody who is in, by name. Who was deleted is not here.
 * @param {Punch[]} newestFirst
 */
function whoIsIn(newestFirst) {
  const last = new Map();
  for (const punch of newestFirst) if (!last.has(punch.employee)) last.set(punch.employee, punch);
  return [...last.values()].filter((punch) => punch.kind !== 'out' && !punch.employee_deleted).sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * Puts one row for each punch into the list, moving nothing that is in its place already, so that an
 * open disclosure and the focus stay.
 * @param {HTMLElement} list
 * @param {Punch[]} today
 */
function placeRows(list, today) {
  const wanted = new Set(today.map((punch) => punch.id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  if (!loaded) list.replaceChildren();
  let next = list.firstElementChild;
  for (const punch of today) {
    let row = rows.get(punch.id);
    if (!row) {
      row = punchRow(punch);
      row.classList.toggle('fresh', loaded);
      rows.set(punch.id, row);
    }
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
  loaded = true;
}

/** @param {Punch} punch */
function punchRow(punch) {
  const where = [punch.device_name, punch.site].filter(Boolean).join(', ');
  const name = punch.employee_deleted && punch.name !== DELETED ? `${punch.name} (deleted)` : punch.name;
  const details = el(
    'details',
    { class: 'punch' },
    el(
      'summary',
      { class: 'row' },
      el('time', { datetime: punch.at, text: clockTime(punch.at) }),
      avatar(punch.name),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: name }), el('span', { class: 'row-note', text: where })),
      kindBadge(punch.kind),
      icon('chevron'),
    ),
    facts(punch),
  );
  if (pictures) details.addEventListener('toggle', () => showPicture(details, punch), { once: true });
  return el('li', { dataset: { punch: punch.id } }, details);
}

/**
 * Asks for the picture only when somebody opens the punch: every look is noted. Not every punch has one.
 * @param {HTMLElement} details
 * @param {Punch} punch
 */
function showPicture(details, punch) {
  const picture = el('img', { class: 'punch-picture', src: `/api/punches/${encodeURIComponent(punch.id)}/picture`, alt: `Who punched at ${clockTime(punch.at)}`, width: 160, height: 160 });
  picture.addEventListener('error', () => picture.remove());
  details.append(picture);
}

/** Offers what this site keeps to those who may look at it. */
async function offerPictures() {
  const { look } = abilities(await currentAccount());
  if (!look) return;
  const status = await get('/api/status');
  pictures = status.punch_pictures;
  byId('unknown-faces').hidden = !status.unknown_faces;
}


/** @param {Punch} punch */
function facts(punch) {
  const known = [
    ['How alike', number(punch.similarity), 'similarity: 1 is the same picture, 0 is nobody in particular'],
    ['Needed', number(punch.threshold), 'threshold: how alike it had to be at least'],
    ['Ahead of the next person', number(punch.margin), 'margin: similarity over that of the second best'],
    ['A live person', number(punch.liveness), 'liveness: probability, 0 to 1'],
    ['Pictures compared', punch.frames, 'frames that were looked at together'],
    ['Attempt', punch.look, 'look: which one at this person it was'],
    ['Recognised by', punch.model, 'model: the embedding model'],
    ['Time from', punch.clock === 'device' ? 'the device, saved offline' : 'the server', 'clock: whose time counts'],
    ['Written', dateTime(punch.recorded_at), 'recorded_at: when the server wrote it'],
  ].filter(([, value]) => value != null && value !== '');
  return el('dl', { class: 'facts' }, ...known.map(([name, value, title]) => el('div', { title }, el('dt', { text: name }), el('dd', { class: 'number', text: value }))));
}

/** @param {number | null | undefined} value */
const number = (value) => (value == null ? null : value.toFixed(3));

/** @param {Punch} punch */
function presentRow(punch) {
  const since = punch.kind === 'break_start' ? 'on a break since' : 'since';
  return el(
    'li',
    {},
    el(
      'a',
      { class: 'row', href: `/people#${punch.employee}` },
      avatar(punch.name),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: punch.name }), el('span', { class: 'row-note', text: `${since} ${clockTime(punch.at)}` })),
    ),
  );
}

/** What to do on the first day, as long as nobody has punched. */
async function showFirstSteps() {
  const place = byId('punches-empty');
  place.hidden = false;
  place.replaceChildren(el('p', { text: 'No punches yet today.' }));
  const { role } = await currentAccount();
  if (role !== 'admin') return;
  const [people, devices] = await Promise.all([get('/api/employees', { query: { limit: '200' } }), get('/api/devices')]);
  const steps = [
    { done: people.items.length > 0, href: '/people#new', text: 'Add a person' },
    { done: people.items.some((/** @type {any} */ person) => person.enrolled), href: '/people', text: 'Enroll their face' },
    { done: devices.items.length > 0, href: '/devices', text: 'Add a kiosk and pair it' },
  ];
  if (steps.every((step) => step.done)) return;
  place.replaceChildren(
    icon('face'),
    el('h3', { text: 'Three steps to the first punch' }),
    el('ol', { class: 'steps' }, ...steps.map((step, index) => el('li', {}, stepLink(step, index + 1)))),
  );
}

/**
 * @param {{done: boolean, href: string, text: string}} step
 * @param {number} position
 */
function stepLink({ done, href, text }, position) {
  return el(
    'a',
    { href, class: done && 'done' },
    el('span', { class: 'mark' }, done ? icon('check') : String(position)),
    el('span', { text }),
    done && el('span', { class: 'visually-hidden', text: '(done)' }),
  );
}

/**
 * @param {'live' | 'lost' | 'paused'} state
 * @param {string} words
 */
function say(state, words) {
  const live = byId('live');
  live.dataset.state = state;
  if (live.textContent !== words) live.textContent = words;
}

async function refresh() {
  try {
    const today = startOfDay();
    const turned = today.getTime() !== day.getTime();
    day = today;
    await fetchPunches(turned || refreshes++ % FULL_EVERY === 0);
    render();
    byId('trouble').replaceChildren();
    say('live', 'Live');
  } catch (error) {
    say('lost', 'Reconnecting…');
    const words = sentence(explain(error));
    if (byId('trouble').textContent !== words) byId('trouble').replaceChildren(notice('bad', words));
    refreshes = 0;
  }
}

/** @type {EventSource | null} */
let feed = null;
let wake = () => {};

/** Follows the live feed; the browser comes back to it by itself. */
function follow() {
  feed = new EventSource('/api/events');
  // Who was renamed or deleted shows in punches that are here already.
  feed.addEventListener('employee', () => (refreshes = 0));
  // Before anything is asked, and whatever it would say: what is shown may be old from now on.
  feed.addEventListener('error', () => say('lost', 'Reconnecting…'));
  for (const name of ['punch', 'employee', 'device', 'reset', 'open', 'error']) feed.addEventListener(name, () => wake());
}

/** Stops following, so that no connection is held for a page that nobody sees. */
function unfollow() {
  feed?.close();
  feed = null;
}

/** Waits until there is something new, at most as long as asking would wait. */
function news() {
  const following = feed?.readyState === EventSource.OPEN;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, following ? REFRESH_WITH_FEED_MS : REFRESH_MS);
    wake = () => {
      clearTimeout(timer);
      resolve(undefined);
    };
  });
}

/** Refreshes one after the other, never two at once, and not while nobody looks. */
async function keepFresh() {
  for (;;) {
    if (document.hidden) {
      say('paused', 'Paused');
      unfollow();
      await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
      continue;
    }
    // Ended by the service, as when the session ended: once more, and asking says why.
    if (!feed || feed.readyState === EventSource.CLOSED) follow();
    const fresh = news();
    await refresh();
    await fresh;
  }
}

byId('punches').replaceChildren(...Array.from({ length: 4 }, () => el('li', { class: 'skeleton' })));
// Nothing is asked for by a page that leaves for the sign-in page.
offerPictures().catch(() => {}).then(currentAccount).then(keepFresh, (error) => error.code === 'unauthenticated' || keepFresh());

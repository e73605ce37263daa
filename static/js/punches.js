// Punches: shows those of today, whether they count, and who is in. Each site has its own day, by its time zone and the start of its
// workday. The live feed reports changes; without it the desk polls every few
// seconds. A hidden page does nothing.

import { explain, get, getAll } from './api.js';
import { wallClock } from './kit/format.js';
import { DOUBTS } from './kit/words.js';
import { abilities, currentAccount } from './session.js';
import { avatar, byId, el, icon, notice } from './ui/dom.js';
import { sentence } from './ui/form.js';
import { kindBadge } from './ui/kinds.js';
import { knownSites, loadSites, siteNote } from './ui/sites.js';
import { clockTime, dateName, dateTime, dayName, zonedClock, zonesNote } from './ui/time.js';
import { countAfter } from './waiting.js';

const REFRESH_MS = 3000;
/** With the feed, the desk polls only for events that the feed may have missed. */
const REFRESH_WITH_FEED_MS = 30_000;
/** Reloads the whole day after this many refreshes, because punches saved offline arrive late, in the middle. */
const FULL_EVERY = 20;
/** The shortest workday, on the night when clocks go forward. */
const SHORTEST_DAY_MS = 23 * 3600_000;
const PAGE = '200';
/** How many people without a punch in the list are named. */
const MOST_NAMED = 10;
/** Replaces the name of a deleted person. */
const DELETED = 'Deleted person';

/** @typedef {ApiSchema<'PunchView'> & {name: string}} Punch */
/** @typedef {ApiSchema<'BoardLineView'>} Line */

/** @type {Map<string, Punch>} */
let punches = new Map();
/** @type {Map<string, HTMLElement>} */
const rows = new Map();
/** The punches that people took back at a kiosk, until a manager decides. @type {Set<string>} */
let takenBack = new Set();
/** The people who are at work, as the board of today shows them. @type {Line[]} */
let present = [];
/** The lines of the board for the people who came today. @type {Line[]} */
let came = [];
/** When today began at each site. @type {Map<string, Date>} */
let days = new Map();
let refreshes = 0;
let loaded = false;
/** Whether punches have pictures that this account can view. */
let pictures = false;

/** Reads when today began at each site. */
async function fetchDays() {
  const sites = await loadSites();
  days = new Map(sites.map((site) => [site.id, new Date(site.workday_since)]));
}

/** Returns the earliest moment that is today at any site; without sites, midnight here. */
function firstMoment() {
  if (days.size === 0) return new Date().setHours(0, 0, 0, 0);
  return Math.min(...[...days.values()].map((since) => since.getTime()));
}

/** @param {Punch} punch */
function isToday({ at, site }) {
  // A punch at a site that was removed counts from the earliest moment.
  return new Date(at).getTime() >= (days.get(site)?.getTime() ?? firstMoment());
}

/** Returns today's date, or the dates if sites have different ones. */
function today() {
  const dates = [...new Set(knownSites().map((site) => site.workday))].sort();
  if (dates.length === 0) return dayName(new Date());
  return dates.map((date) => dayName(`${date}T12:00`)).join(' / ');
}

/**
 * Loads new punches, or all punches of the day if `all` is set.
 * @param {boolean} all
 */
async function fetchPunches(all) {
  const from = new Date(firstMoment()).toISOString();
  /** @type {Map<string, Punch>} */
  const known = all ? new Map() : new Map(punches);
  /** @type {string | null | undefined} */
  let cursor;
  do {
    const page = await get('/api/punches', { query: { from, limit: PAGE, cursor } });
    const fresh = page.items.filter((punch) => !known.has(punch.id));
    for (const punch of page.items) known.set(punch.id, { ...punch, name: punch.name ?? DELETED });
    cursor = fresh.length === page.items.length ? page.next : null;
  } while (cursor);
  punches = known;
}

/** Reads who is in, by the same rules as the board, and which punches do not count until a decision. */
async function fetchPresence() {
  const [board, corrections] = await Promise.all([get('/api/days'), getAll('/api/corrections', { state: 'requested' })]);
  came = board.items.filter(({ first_in: at }) => at);
  present = board.items.filter(({ state }) => state === 'present' || state === 'on_break');
  takenBack = new Set(corrections.filter(({ provisional }) => provisional).map(({ punch }) => punch));
}

/**
 * Says why a punch does not count; nothing if it counts.
 * @param {Punch} punch
 */
function whyNot({ id, doubt, corrected }) {
  if (takenBack.has(id)) return 'Taken back at the kiosk: does not count until a manager decides';
  if (corrected?.action === 'void') return 'Removed by a correction: does not count';
  return doubt ? (DOUBTS[doubt] ?? 'Does not count') : '';
}

/**
 * Says where a correction moved a punch that counts; nothing if none did.
 * @param {Punch} punch
 */
function movedTo({ corrected, zone }) {
  return corrected?.action === 'move' ? `Moved by a correction: counts at ${dateTime(corrected.at, zone)}` : '';
}

function render() {
  const ofToday = [...punches.values()].sort((a, b) => b.at.localeCompare(a.at)).filter(isToday);
  const counted = ofToday.filter((punch) => !whyNot(punch));

  byId('day').textContent = today();
  byId('zones').textContent = zonesNote([...ofToday.map(({ zone }) => zone), ...knownSites().map(({ zone }) => zone)]);
  byId('count-in').textContent = String(present.length);
  byId('count-came').textContent = String(new Set(counted.map((punch) => punch.employee)).size);
  byId('count-punches').textContent = String(counted.length);

  placeRows(byId('punches'), ofToday);
  renderElsewhere(new Set(ofToday.map(({ employee }) => employee)));
  redraw(byId('present'), present.map(presentRow));
  byId('present-empty').hidden = present.length > 0;
  byId('punches').removeAttribute('aria-busy');
  byId('punches-empty').hidden = ofToday.length > 0;
}

/**
 * Names the people who came today but have no punch in the list. The list has only punches made today at the sites that
 * the account may see. A person may have punched at another site or before the start of the workday, or a correction
 * may have added the punch.
 * @param {Set<string>} listed the people with a punch in the list
 */
function renderElsewhere(listed) {
  const missing = came.filter(({ employee }) => !listed.has(employee));
  const links = missing.slice(0, MOST_NAMED).flatMap(({ employee, name, day }) => [', ', el('a', { href: `/person?id=${employee}&month=${day}&day=${day}`, text: name })]);
  const more = missing.length - MOST_NAMED;
  const place = byId('elsewhere');
  place.hidden = missing.length === 0;
  redraw(place, ['Here today without a punch in this list: ', ...links.slice(1), more > 0 ? `, and ${more} more on the board` : '']);
}

/**
 * Replaces what a place shows if it differs, and keeps the focus on the same link.
 * @param {HTMLElement} place
 * @param {(Node | string)[]} parts
 */
function redraw(place, parts) {
  const next = /** @type {HTMLElement} */ (place.cloneNode());
  next.append(...parts);
  if (next.isEqualNode(place)) return;
  const focused = place.contains(document.activeElement) && document.activeElement?.getAttribute('href');
  place.replaceChildren(...next.childNodes);
  if (focused) /** @type {HTMLElement | null} */ (place.querySelector(`[href="${CSS.escape(focused)}"]`))?.focus();
}

/**
 * Puts one row for each punch into the list. Rows that are in place do not move, so open details and the focus
 * stay.
 * @param {HTMLElement} list
 * @param {Punch[]} shown
 */
function placeRows(list, shown) {
  const wanted = new Set(shown.map((punch) => punch.id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  if (!loaded) list.replaceChildren();
  let next = list.firstElementChild;
  for (const punch of shown) {
    let row = rows.get(punch.id);
    const why = whyNot(punch);
    const note = why || movedTo(punch);
    if (row && row.dataset.note !== note) {
      // Drawn again, because it counts now, no longer, or at another time.
      if (row === next) next = next.nextElementSibling;
      row.remove();
      row = undefined;
    }
    if (!row) {
      row = punchRow(punch, why, note);
      row.classList.toggle('fresh', loaded);
      rows.set(punch.id, row);
    }
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
  loaded = true;
}

/**
 * @param {Punch} punch
 * @param {string} why why it does not count
 * @param {string} note this, or where it was moved
 */
function punchRow(punch, why, note) {
  const where = [punch.origin.name, siteNote(punch)].filter(Boolean).join(', ');
  const name = punch.employee_deleted && punch.name !== DELETED ? `${punch.name} (deleted)` : punch.name;
  const details = el(
    'details',
    { class: why ? 'punch uncounted' : 'punch' },
    el(
      'summary',
      { class: 'row' },
      el('time', { datetime: punch.at, text: clockTime(punch.at, punch.zone) }),
      avatar(punch.name),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: name }), el('span', { class: 'row-note', text: where }), note && el('span', { class: 'row-note why', text: note })),
      why ? el('span', { class: 'badge', text: 'Does not count' }) : kindBadge(punch.kind),
      icon('chevron'),
    ),
    facts(punch),
  );
  if (pictures) details.addEventListener('toggle', () => showPicture(details, punch), { once: true });
  return el('li', { dataset: { punch: punch.id, note } }, details);
}

/**
 * Loads the picture only when the user opens the punch, because every view is logged. Not every punch has a picture.
 * @param {HTMLElement} details
 * @param {Punch} punch
 */
function showPicture(details, punch) {
  const picture = el('img', { class: 'punch-picture', src: `/api/punches/${encodeURIComponent(punch.id)}/picture`, alt: `Picture of the punch at ${zonedClock(punch.at, punch.zone)}`, width: 160, height: 160 });
  picture.addEventListener('error', () => picture.remove());
  details.append(picture);
}

/**
 * Shows how many people must be enrolled again, because the model changed.
 * @param {number} count
 */
function showEnrollAgain(count) {
  const link = byId('enroll-again');
  link.hidden = count === 0;
  link.textContent = count === 1 ? 'One person must be enrolled again' : `${count} people must be enrolled again`;
}

/** Offers kept pictures to accounts that can view them. */
async function offerPictures() {
  const { look } = abilities(await currentAccount());
  if (!look) return;
  const status = await get('/api/status');
  showEnrollAgain(status.enroll_again);
  pictures = status.punch_pictures;
  byId('unknown-faces').hidden = !status.unknown_faces;
}


/** How the employee of a punch was established. */
const PROOFS = { face: 'Face', pin: 'PIN', badge: 'Badge', face_and_pin: 'Face and PIN', face_and_badge: 'Face and badge', manual: 'Written by hand', import: 'Imported' };

/**
 * @param {Punch['proof']} proof
 * @returns {[string, string | number | null, string][]}
 */
function proofFacts(proof) {
  if (proof.kind === 'manual') return [['Reason', proof.reason, 'reason: why the punch was written by hand']];
  if (!('similarity' in proof)) return [];
  return [
    ['Match', number(proof.similarity), 'similarity: 1 means the same picture, 0 means unrelated faces'],
    ['Required', number(proof.threshold), 'threshold: the least similarity for a match'],
    ['Lead over the next person', number(proof.margin), 'margin: similarity minus that of the second-best person'],
    ['Liveness', number(proof.liveness), 'liveness: probability of a live person, 0 to 1'],
    ['Pictures compared', proof.frames, 'frames: pictures that were combined'],
    ['Attempt', proof.look, 'look: which look at this person matched'],
    ['Recognized by', proof.model, 'model: the embedding model'],
  ];
}

/** @param {Punch} punch */
function facts(punch) {
  const known = [
    ['Proof', PROOFS[punch.proof.kind], 'proof: how the employee was established'],
    ...proofFacts(punch.proof),
    ['Site', siteNote(punch), 'site: where the punch was made'],
    ['Workday', dateName(`${punch.workday}T12:00`), 'workday: the date at the site to which the punch belongs'],
    ['Clock', punch.clock === 'device' ? 'Device, saved offline' : 'Server', 'clock: which clock counts'],
    ['Recorded', dateTime(punch.recorded_at, punch.zone), 'recorded_at: when the server wrote the punch'],
  ].filter(([, value]) => value != null && value !== '');
  return el('dl', { class: 'facts' }, ...known.map(([name, value, title]) => el('div', { title }, el('dt', { text: name }), el('dd', { class: 'number', text: value }))));
}

/** @param {number | null | undefined} value */
const number = (value) => (value == null ? null : value.toFixed(3));

/** @param {Line} line */
function presentRow({ employee, name, state, first_in: at }) {
  const since = at ? `since ${wallClock(at)}` : '';
  return el(
    'li',
    {},
    el(
      'a',
      { class: 'row', href: `/people#${employee}` },
      avatar(name),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: name }), el('span', { class: 'row-note', text: state === 'on_break' ? `on a break, here ${since}` : since })),
    ),
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
    const all = refreshes++ % FULL_EVERY === 0;
    const before = String([...days]);
    // From an hour before the end of a day, it is read each time.
    if (all || Date.now() - firstMoment() > SHORTEST_DAY_MS) await fetchDays();
    await Promise.all([fetchPunches(all || String([...days]) !== before), fetchPresence()]);
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

/** Follows the live feed; the browser reconnects automatically. */
function follow() {
  feed = new EventSource('/api/events');
  // A renamed or deleted person, a changed site or a correction changes punches that are already shown.
  for (const name of ['employee', 'site', 'timesheet']) feed.addEventListener(name, () => (refreshes = 0));
  countAfter(feed);
  // Says so before the next request: from now on the page can be out of date.
  feed.addEventListener('error', () => say('lost', 'Reconnecting…'));
  for (const name of ['punch', 'timesheet', 'employee', 'site', 'device', 'reset', 'open', 'error']) feed.addEventListener(name, () => wake());
}

/** Stops following, so that a hidden page holds no connection. */
function unfollow() {
  feed?.close();
  feed = null;
}

/** Waits for the next event, at most until the next poll. */
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

/** Refreshes again and again, never twice at once, and not while the page is hidden. */
async function keepFresh() {
  for (;;) {
    if (document.hidden) {
      say('paused', 'Paused');
      unfollow();
      await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
      continue;
    }
    // The service ended the feed, for example with the session: follow again; the next request says why.
    if (!feed || feed.readyState === EventSource.CLOSED) follow();
    const fresh = news();
    await refresh();
    await fresh;
  }
}

byId('punches').replaceChildren(...Array.from({ length: 4 }, () => el('li', { class: 'skeleton' })));
// A page that goes to the sign-in page requests nothing more.
offerPictures().catch(() => {}).then(currentAccount).then(keepFresh, (error) => (error.code === 'unauthenticated' ? undefined : keepFresh()));

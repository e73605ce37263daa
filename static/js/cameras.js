// Cameras: shows the list with each camera's state, and the live picture and last punches of the open one. Adds,
// changes, pauses and removes cameras. The live feed reports changes.

import { explain, get, patch, post, readAnswer, remove, send } from './api.js';
import './cameras/live.js';
import { abilities, currentAccount } from './session.js';
import { ask, closable } from './ui/dialog.js';
import { byId, el, icon, notice } from './ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from './ui/form.js';
import { kindBadge } from './ui/kinds.js';
import { loadSites, offerSites, siteNote } from './ui/sites.js';
import { dateTime, zonedClock } from './ui/time.js';
import { toast } from './ui/toast.js';

/**
 * @typedef {ApiSchema<'HoursView'>} Hours
 * @typedef {ApiSchema<'CameraView'>} Camera
 * @typedef {ApiSchema<'PunchView'>} Punch
 */

/** The feed does not report when a camera is no longer watched, so the list is reloaded this often. */
const REFRESH_MS = 15_000;
const LAST_PUNCHES = '8';
const USUAL = { every_ms: 200, visit_s: 300 };
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
/** @type {Record<string, string>} */
const DIRECTIONS = { auto: 'both ways', in: 'way in', out: 'way out' };

/** @type {Record<string, [string, string]>} */
const STATES = {
  live: ['Live', 'in'],
  stale: ['No new pictures', 'warn'],
  dark: ['Dark', 'warn'],
  unreachable: ['Unreachable', 'bad'],
  refused: ['Refused', 'bad'],
};

const list = byId('cameras');
const dialog = closable(byId('camera-dialog'));
const trial = closable(byId('trial-dialog'));
const form = byId('camera-form');
let mayChange = false;

/** @type {(id: string) => `/api/cameras/${string}`} */
const address = (id) => `/api/cameras/${encodeURIComponent(id)}`;

/* One camera in the list */

/** @type {Map<string, Card>} */
const cards = new Map();

class Card {
  #title = el('span', { class: 'row-title' });
  #note = el('span', { class: 'row-note' });
  #state = el('span', {});
  #body = el('div', { class: 'camera-body' });
  #side = el('div', { class: 'camera-side' });
  #about = el('div', { role: 'status' });
  #last = el('ol', { class: 'last' });
  #actions = el('div', { class: 'actions' });
  #buttonsOf = '';

  /** @param {Camera} camera */
  constructor(camera) {
    this.camera = camera;
    const summary = el('summary', { class: 'row' }, el('span', { class: 'avatar' }, icon('camera')), el('span', { class: 'row-main' }, this.#title, this.#note), this.#state, icon('chevron'));
    this.details = el('details', { class: 'camera', dataset: { camera: camera.id } }, summary, this.#body);
    this.item = el('li', {}, this.details);
    this.details.addEventListener('toggle', () => this.#toggle());
    this.update(camera);
  }

  /** @param {Camera} camera */
  update(camera) {
    this.camera = camera;
    this.#title.textContent = camera.name;
    this.#note.textContent = [siteNote(camera), DIRECTIONS[camera.direction], hoursWords(camera.hours)].filter(Boolean).join(' · ');
    const [word, tone] = stateOf(camera);
    this.#state.className = `badge ${tone}`;
    this.#state.textContent = word;
    const about = aboutState(camera);
    // Changes only with the text, so that screen readers do not repeat it.
    if (this.#about.textContent !== about.join('')) this.#about.replaceChildren(...about.map((text) => el('p', { text })));
    // Rebuilt only when they change, so that a button keeps the focus.
    const buttonsOf = `${camera.active} ${camera.name}`;
    if (mayChange && this.#buttonsOf !== buttonsOf) this.#actions.replaceChildren(...this.#buttons());
    this.#buttonsOf = buttonsOf;
  }

  #buttons() {
    const { name, active } = this.camera;
    const button = (/** @type {string} */ text, /** @type {string} */ tone, /** @type {(button: HTMLButtonElement) => void} */ press) => {
      const made = el('button', { class: `button ${tone}`, type: 'button', text, 'aria-label': `${text} ${name}` });
      made.addEventListener('click', () => press(made));
      return made;
    };
    return [
      button('Change', '', () => openForm(this.camera)),
      button(active ? 'Pause' : 'Resume', '', (pressed) => this.#change(pressed, { active: !active })),
      button('Remove', 'danger', (pressed) => this.#remove(pressed)),
    ];
  }

  /** Shows the live picture only while the camera is open, and keeps one camera open at a time: both cost bandwidth. */
  #toggle() {
    if (!this.details.open) {
      this.#body.replaceChildren();
      return;
    }
    for (const other of cards.values()) if (other !== this) other.details.open = false;
    const { id, name, every_ms: every } = this.camera;
    const live = Object.assign(document.createElement('rollcall-live'), { camera: id, label: `Live picture of ${name}`, every });
    this.#side.replaceChildren(this.#about, el('section', { class: 'section' }, el('h3', { text: 'Last punches' }), this.#last), this.#actions);
    this.#body.replaceChildren(live, this.#side);
    this.showPunches();
  }

  async showPunches() {
    try {
      const { items } = await get('/api/punches', { query: { camera: this.camera.id, limit: LAST_PUNCHES } });
      this.#last.replaceChildren(...(items.length > 0 ? items.map(punchItem) : [el('li', { class: 'soft', text: 'None yet' })]));
    } catch (error) {
      this.#last.replaceChildren(el('li', { class: 'soft', text: sentence(explain(error)) }));
    }
  }

  /**
   * @param {HTMLButtonElement} pressed
   * @param {ApiSchema<'EditableCameraPatch'>} change
   */
  async #change(pressed, change) {
    try {
      this.update(await busy(pressed, () => patch(address(this.camera.id), change)));
    } catch (error) {
      toast(sentence(explain(error)));
    }
  }

  /** @param {HTMLButtonElement} pressed */
  async #remove(pressed) {
    const { id, name } = this.camera;
    const sure = await ask({ title: `Remove ${name}?`, text: 'Rollcall stops watching it. Past punches are kept, with the name.', action: 'Remove' });
    if (!sure) return;
    try {
      await busy(pressed, () => remove(address(id)));
      toast(`${name} was removed`);
      await load();
    } catch (error) {
      toast(sentence(explain(error)));
    }
  }
}

/**
 * Returns a word and a color for the camera's state.
 * @param {Camera} camera
 * @returns {[string, string]}
 */
function stateOf({ active, state }) {
  if (!active) return ['Paused', ''];
  if (!state?.watched) return ['Not watching', ''];
  return STATES[state.state] ?? [state.state, ''];
}

/**
 * @param {Camera} camera
 * @returns {string[]}
 */
function aboutState({ active, state, hours }) {
  if (!active) return ['Paused: this camera records no punches. You can still view its picture.'];
  if (!state?.watched) return [hours ? 'Not watching right now: outside its hours, or still starting.' : 'Not watching yet: this takes a few seconds.'];
  const since = `Since ${dateTime(state.since)}`;
  return state.cause ? [sentence(state.cause), since] : [since];
}

/** @param {Hours | null | undefined} hours */
function hoursWords(hours) {
  if (!hours) return '';
  const days = [...(hours.days ?? [])].sort().map((day) => DAYS[day - 1]);
  return [`${hours.from}–${hours.to}`, days.join(', ')].filter(Boolean).join(' ');
}

/** @param {Punch} punch */
function punchItem({ at, zone, name, kind }) {
  return el('li', {}, el('time', { datetime: at, title: dateTime(at, zone), text: zonedClock(at, zone) }), el('span', { class: 'row-title', text: name ?? 'Deleted person' }), kindBadge(kind));
}

/* The list */

async function load() {
  try {
    await loadSites();
    /** @type {Camera[]} */
    const cameras = [];
    /** @type {string | null | undefined} */
    let cursor;
    do {
      const page = await get('/api/cameras', { query: { cursor } });
      cameras.push(...page.items);
      cursor = page.next;
    } while (cursor);
    place(cameras);
    byId('trouble').replaceChildren();
  } catch (error) {
    const words = sentence(explain(error));
    if (byId('trouble').textContent !== words) byId('trouble').replaceChildren(notice('bad', words));
  }
  for (const row of list.querySelectorAll('.skeleton')) row.remove();
  list.removeAttribute('aria-busy');
}

/**
 * Shows one row for each camera; an open row stays open.
 * @param {Camera[]} cameras
 */
function place(cameras) {
  const wanted = new Set(cameras.map((camera) => camera.id));
  for (const [id, card] of cards) {
    if (wanted.has(id)) continue;
    card.item.remove();
    cards.delete(id);
  }
  for (const camera of cameras) {
    const card = cards.get(camera.id);
    if (card) {
      card.update(camera);
      continue;
    }
    const added = new Card(camera);
    cards.set(camera.id, added);
    list.append(added.item);
  }
  byId('empty').hidden = cameras.length > 0;
  if (cameras.length > 0) return;
  byId('empty').replaceChildren(
    icon('camera'),
    el('h3', { text: mayChange ? 'No cameras yet' : 'No cameras shared with you' }),
    el('p', {
      text: mayChange
        ? 'Add a stream to go2rtc’s configuration, then add it here. People who walk past are punched without stopping.'
        : 'An admin decides who can view which camera.',
    }),
  );
}

/* The feed */

/** @type {EventSource | null} */
let feed = null;

/** Follows the live feed while the page is visible, and holds no connection while it is hidden. */
function follow() {
  feed?.close();
  feed = null;
  if (document.hidden) return;
  feed = new EventSource('/api/events');
  for (const name of ['open', 'reset', 'camera', 'site']) feed.addEventListener(name, load);
  feed.addEventListener('punch', ({ data }) => {
    const card = cards.get(JSON.parse(data).origin.id);
    if (card?.details.open) card.showPunches();
  });
}

document.addEventListener('visibilitychange', follow);
setInterval(() => {
  if (document.hidden) return;
  // The service ended the feed, for example with the session: follow again; the next request says why.
  if (feed?.readyState === EventSource.CLOSED) follow();
  load();
}, REFRESH_MS);

/* Adding and changing */

/** @type {Camera | null} */
let changed = null;

/** @param {Camera | null} camera */
function openForm(camera) {
  changed = camera;
  form.reset();
  clearErrors(form);
  byId('camera-title').textContent = camera ? 'Change the camera' : 'Add a camera';
  byId('camera-submit').textContent = camera ? 'Save' : 'Add';
  byId('camera-name').value = camera?.name ?? '';
  byId('camera-stream').value = camera?.stream ?? '';
  offerSites(byId('camera-site'), camera);
  byId('camera-direction').value = camera?.direction ?? 'auto';
  byId('camera-every').value = String(camera?.every_ms ?? USUAL.every_ms);
  byId('camera-visit').value = String(camera?.visit_s ?? USUAL.visit_s);
  showHours(camera?.hours ?? null);
  showViewers(camera ? (camera.viewers ?? null) : []);
  dialog.showModal();
  offerStreams();
}

/** Offers the streams that no other camera uses, and lists the free ones. */
async function offerStreams() {
  const hint = byId('camera-stream-hint');
  hint.textContent = '';
  try {
    const { items } = await get('/api/camera-streams');
    const free = items.filter(({ camera }) => !camera || camera === changed?.id);
    byId('streams').replaceChildren(...free.map(({ name }) => el('option', { value: name })));
    const others = free.filter(({ camera }) => !camera);
    if (items.length === 0) hint.textContent = 'go2rtc has no streams: add one to its configuration.';
    else if (others.length === 0) hint.textContent = 'Every go2rtc stream already has a camera.';
    else hint.textContent = `Free: ${others.map(({ name }) => name).join(', ')}`;
  } catch (error) {
    hint.textContent = sentence(explain(error));
  }
}

/** @param {Hours | null} hours */
function showHours(hours) {
  byId('camera-timed').checked = hours !== null;
  byId('hours').hidden = hours === null;
  if (hours) {
    byId('camera-from').value = hours.from;
    byId('camera-to').value = hours.to;
  }
  for (const box of byId('days').querySelectorAll('input')) box.checked = hours?.days?.includes(Number(box.value)) ?? false;
}

/** @returns {Hours | null} */
function readHours() {
  if (!byId('camera-timed').checked) return null;
  const days = [...byId('days').querySelectorAll('input:checked')].map((box) => Number(/** @type {HTMLInputElement} */ (box).value));
  return { from: byId('camera-from').value, to: byId('camera-to').value, days };
}

/** @param {string[] | null} viewers */
function showViewers(viewers) {
  byId('camera-who').value = viewers === null ? 'everybody' : viewers.length > 0 ? 'some' : 'nobody';
  byId('camera-viewers').value = viewers?.join('\n') ?? '';
  byId('viewers').hidden = byId('camera-who').value !== 'some';
}

/** @returns {string[] | null} */
function readViewers() {
  const who = byId('camera-who').value;
  if (who === 'everybody') return null;
  return who === 'some' ? byId('camera-viewers').value.split(/[\s,;]+/).filter(Boolean) : [];
}

onSubmit(form, async ({ name, stream, site, direction, every_ms: every, visit_s: visit }) => {
  const body = {
    name: name.trim(),
    stream: stream.trim(),
    site,
    direction,
    hours: readHours(),
    every_ms: Number(every),
    visit_s: Number(visit),
    viewers: readViewers(),
  };
  const camera = changed ? await patch(address(changed.id), body) : await post('/api/cameras', body);
  const look = !changed || changed.stream !== camera.stream;
  dialog.close();
  await load();
  if (look) tryCamera(camera);
  else toast('Saved');
});

/**
 * Shows the camera's first picture, or why there is none.
 * @param {Camera} camera
 */
async function tryCamera({ id, name }) {
  byId('trial-title').textContent = name;
  byId('trial').replaceChildren(el('p', { class: 'soft', text: 'Waiting for the first picture…' }));
  trial.showModal();
  try {
    const response = await send('GET', `${address(id)}/picture`);
    if (!response.ok) await readAnswer(response);
    const picture = URL.createObjectURL(await response.blob());
    byId('trial').replaceChildren(el('div', { class: 'picture' }, el('img', { src: picture, alt: `What ${name} sees` })));
    trial.addEventListener('close', () => URL.revokeObjectURL(picture), { once: true });
  } catch (error) {
    const words = `No picture from ${name} yet: ${explain(error)}`;
    byId('trial').replaceChildren(notice('warn', words), el('p', { class: 'soft', text: 'Rollcall keeps trying.' }));
  }
}

/* Wiring */

byId('days').replaceChildren(...DAYS.map((day, index) => el('label', { class: 'check' }, el('input', { type: 'checkbox', value: index + 1 }), el('span', { text: day }))));
byId('camera-timed').addEventListener('change', () => {
  byId('hours').hidden = !byId('camera-timed').checked;
});
byId('camera-who').addEventListener('change', () => {
  byId('viewers').hidden = byId('camera-who').value !== 'some';
});
// An invalid field in there must be visible.
form.addEventListener('submit', () => (byId('advanced').open ||= byId('advanced').querySelector(':invalid') !== null), { capture: true });
byId('add').addEventListener('click', () => openForm(null));

list.replaceChildren(...Array.from({ length: 2 }, () => el('li', { class: 'skeleton' })));
try {
  mayChange = abilities(await currentAccount()).administer;
  byId('add').hidden = !mayChange;
  await load();
  follow();
} catch (error) {
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}

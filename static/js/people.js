// People: shows the list with search and pages, adds people, and shows the sheet of one person.

import { explain, get, patch, post, remove } from './api.js';
import { mountBadges } from './people/badges.js';
import { showCredentials } from './people/credentials.js';
import { mountImport } from './people/import.js';
import { showLimit } from './people/limit.js';
import { mountPhotos } from './people/photos.js';
import { abilities, currentAccount } from './session.js';
import { ask, closable } from './ui/dialog.js';
import { avatar, byId, el, icon, notice, plural } from './ui/dom.js';
import './ui/enroll.js';
import { busy, clearErrors, failure, onSubmit, sentence } from './ui/form.js';
import { loadSites, offerSites, siteNote } from './ui/sites.js';
import { dateName } from './ui/time.js';
import { toast } from './ui/toast.js';

/** @typedef {ApiSchema<'EmployeeView'>} Person */

const SEARCH_PAUSE_MS = 200;
const list = byId('people');
const sheet = closable(byId('person'));
const addDialog = closable(byId('add-dialog'));

/** @type {ReturnType<typeof abilities>} */
let can = { survey: false, edit: false, request: false, look: false, enroll: false, invite: false, administer: false };
/** Whether it is known what the account can do. */
let begun = false;
/** @type {string | null | undefined} */
let next = null;
/** @type {AbortController | undefined} */
let loading;
/** @type {Person | null} */
let shown = null;

/* The list */

/** @param {{more?: boolean}} [options] */
async function load({ more = false } = {}) {
  if (!begun) return begin();
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  try {
    const query = { q: byId('search').value.trim(), active: byId('active').value, enrolled: byId('face').value, site: byId('at-site').value, cursor: more ? next : undefined };
    const page = await get('/api/employees', { query, signal });
    if (!more) list.replaceChildren();
    list.append(...page.items.map(row));
    list.removeAttribute('aria-busy');
    next = page.next;
    byId('more').hidden = !next;
    byId('trouble').replaceChildren();
    showEmpty();
  } catch (error) {
    if (signal.aborted) return;
    // The people who were shown do not fit the filter, perhaps.
    if (!more) {
      list.replaceChildren();
      next = null;
      byId('more').hidden = true;
      byId('found').textContent = '';
    }
    list.removeAttribute('aria-busy');
    byId('empty').hidden = true;
    byId('trouble').replaceChildren(failure(error, () => load({ more })));
    byId('trouble').scrollIntoView({ block: 'nearest' });
  }
}

function showEmpty() {
  const count = list.childElementCount;
  const searched = byId('search').value.trim() !== '' || byId('active').value !== 'true' || byId('face').value !== '' || byId('at-site').value !== '';
  byId('found').textContent = searched ? `${next ? 'more than ' : ''}${plural(count, 'person', 'people')} found` : '';
  byId('empty').hidden = count > 0;
  if (count > 0) return;
  byId('empty').replaceChildren(
    icon('face'),
    el('h3', { text: searched ? 'Nobody found' : 'No people yet' }),
    el('p', { text: searched ? 'Try another name or staff number, or choose All.' : 'Add the people whose presence you record, then enroll their faces.' }),
  );
}

/** @param {Person} person */
function row(person) {
  const note = [person.code, siteNote(person)].filter(Boolean).join(' · ');
  return el(
    'li',
    { dataset: { person: person.id } },
    el(
      'a',
      { class: 'row', href: `#${person.id}` },
      avatar(person.name),
      el('span', { class: 'row-main' }, el('span', { class: 'row-title', text: person.name }), el('span', { class: 'row-note', text: note })),
      el('span', { class: 'row-side' }, !person.active && el('span', { class: 'badge', text: 'Inactive' }), faceBadge(person)),
    ),
  );
}

/** @param {Person} person */
function faceBadge(person) {
  if (person.enroll_again) return el('span', { class: 'badge warn', text: 'Enroll again' });
  return person.enrolled ? el('span', { class: 'badge in', text: 'Enrolled' }) : el('span', { class: 'badge warn', text: 'No face' });
}

/** @param {Person} person */
function refreshRow(person) {
  list.querySelector(`[data-person="${CSS.escape(person.id)}"]`)?.replaceWith(row(person));
}

/* One person */

/** @param {string} id */
async function open(id) {
  const wanted = location.hash;
  try {
    const person = await get(`/api/employees/${encodeURIComponent(id)}`);
    // Meanwhile another person was chosen.
    if (location.hash !== wanted) return;
    show(person);
    mountEnroll(person);
    clearErrors(byId('edit-form'));
    if (!sheet.open) sheet.showModal();
    byId('person-name').focus();
    if (can.edit) showCredentials(person);
    await showFace(person);
  } catch (error) {
    if (location.hash === wanted) history.replaceState(null, '', location.pathname);
    toast(sentence(explain(error)));
  }
}

/** @param {Person} person */
function show(person) {
  shown = person;
  byId('person-name').textContent = person.name;
  byId('hours').href = `/person?id=${encodeURIComponent(person.id)}`;
  byId('edit-name').value = person.name;
  byId('edit-code').value = person.code;
  offerSites(byId('edit-site'), person);
  byId('edit-from').value = person.employed_from ?? '';
  byId('edit-until').value = person.employed_until ?? '';
  byId('edit-active').checked = person.active;
  byId('edit-fields').disabled = !can.edit;
  byId('credentials-section').hidden = !can.edit;
  byId('delete-section').hidden = !can.administer;
  byId('face-state').replaceChildren(faceBadge(person));
}

/** @param {Person} person */
function mountEnroll(person) {
  const enroll = can.enroll && Object.assign(document.createElement('rollcall-enroll'), { person, mayOverride: can.administer });
  byId('enroll-place').replaceChildren(...(enroll ? [enroll] : []));
}

/**
 * Shows what is enrolled, with a button to delete it.
 * @param {Person} person
 */
async function showFace(person) {
  const place = byId('face-facts');
  if (!person.enrolled) {
    place.replaceChildren(
      el('p', { class: 'soft', text: `No face is enrolled. Kiosks cannot recognize ${person.name} yet.` }),
      ...(can.invite ? [el('p', {}, el('a', { href: `/accounts?part=invitations&employee=${encodeURIComponent(person.id)}`, text: 'Create a link with which they enroll their own face' }))] : []),
    );
    return;
  }
  const face = await get(`/api/employees/${encodeURIComponent(person.id)}/templates`);
  if (shown?.id !== person.id) return;
  const models = [...new Set(face.items.map((template) => template.model))].join(', ');
  const grown = face.items.filter((template) => template.grown).length;
  const newest = face.items.map((template) => template.created_at).sort().at(-1);
  const known = [
    ['Templates', plural(face.items.length, 'template') + (grown ? `, ${grown} from punches` : '')],
    ['Photos kept', face.photos ? plural(face.photos, 'photo') : 'none'],
    ['Last enrolled', newest && dateName(newest)],
    ['Consent', face.consent && `${dateName(face.consent.at)}, version ${face.consent.text}`],
    ['Model', models],
  ].filter(([, value]) => value);
  place.replaceChildren(
    el(
      'div',
      { class: 'section' },
      person.enroll_again && notice('warn', `The model has changed: enroll the face again. Until then, kiosks recognize ${person.name} only while the previous model is in use.`),
      el('dl', { class: 'facts' }, ...known.map(([name, value]) => el('div', {}, el('dt', { text: name }), el('dd', { text: value })))),
      can.enroll &&
        el(
          'div',
          { class: 'actions' },
          grown > 0 && el('button', { class: 'button', type: 'button', text: 'Remove templates from punches', onclick: deleteGrown }),
          el('button', { class: 'button danger', type: 'button', id: 'delete-face', text: 'Delete the face', onclick: deleteFace }),
        ),
    ),
  );
}

/** @param {Event} event */
async function deleteGrown(event) {
  const { id } = /** @type {Person} */ (shown);
  await attempt(/** @type {HTMLButtonElement} */ (event.target), async () => {
    await remove(`/api/employees/${encodeURIComponent(id)}/templates/grown`);
    toast('The templates from punches were removed');
    await reload(id);
  });
}

/** @param {Event} event */
async function deleteFace(event) {
  const person = /** @type {Person} */ (shown);
  const sure = await ask({
    title: `Delete the face of ${person.name}?`,
    text: 'The templates, kept photos and the consent are deleted permanently. Kiosks cannot recognize this person until the face is enrolled again.',
    action: 'Delete the face',
  });
  if (!sure) return;
  await attempt(/** @type {HTMLButtonElement} */ (event.target), async () => {
    await remove(`/api/employees/${encodeURIComponent(person.id)}/templates`);
    toast('The face was deleted');
    await reload(person.id);
  });
}

/**
 * Reloads the person, in the sheet and in the list.
 * @param {string} id
 */
async function reload(id) {
  const person = await get(`/api/employees/${encodeURIComponent(id)}`);
  refreshRow(person);
  if (shown?.id !== id) return;
  show(person);
  await showFace(person);
}

/**
 * Runs `work` for a button and shows its error.
 * @param {HTMLButtonElement} button
 * @param {() => Promise<void>} work
 */
async function attempt(button, work) {
  try {
    await busy(button, work);
  } catch (error) {
    toast(sentence(explain(error)));
  }
}

onSubmit(byId('edit-form'), async ({ name, code, site, employed_from, employed_until }) => {
  const { id } = /** @type {Person} */ (shown);
  const person = await patch(`/api/employees/${encodeURIComponent(id)}`, {
    name: name.trim(),
    code: code.trim(),
    site,
    active: byId('edit-active').checked,
    employed_from: employed_from || null,
    employed_until: employed_until || null,
  });
  show(person);
  refreshRow(person);
  toast('Saved');
});

byId('delete').addEventListener('click', async () => {
  const { id, name } = /** @type {Person} */ (shown);
  const sure = await ask({
    title: `Delete ${name}?`,
    text: 'The face and the photos are deleted permanently, and the person disappears from all lists. Punches stay, with the name. To remove the name and staff number too, run rollcall people erase.',
    action: 'Delete this person',
  });
  if (!sure) return;
  await attempt(byId('delete'), async () => {
    await remove(`/api/employees/${encodeURIComponent(id)}`);
    sheet.close();
    await load();
    toast(`${name} was deleted`);
  });
});

byId('enroll-place').addEventListener('lifted', () => showLimit(can.administer));
byId('enroll-place').addEventListener('enrolled', () => shown && reload(shown.id).catch((error) => toast(sentence(explain(error)))));

sheet.addEventListener('close', () => {
  shown = null;
  byId('enroll-place').replaceChildren();
  byId('face-facts').replaceChildren();
  byId('credentials').replaceChildren();
  history.replaceState(null, '', location.pathname);
});

/* Adding */

function openAdd() {
  offerSites(byId('add-site'));
  addDialog.showModal();
}

onSubmit(byId('add-form'), async ({ name, code, site }) => {
  const person = await post('/api/employees', { name: name.trim(), code: code.trim(), site });
  addDialog.close();
  await load();
  location.hash = person.id;
});

addDialog.addEventListener('close', () => {
  byId('add-form').reset();
  clearErrors(byId('add-form'));
  if (location.hash === '#new') history.replaceState(null, '', location.pathname);
});

/* Wiring */

function followHash() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id === 'new') {
    if (can.edit && !addDialog.open) openAdd();
  } else if (id) open(id);
  else if (sheet.open) sheet.close();
}

/** @param {ApiSchema<'SiteView'>[]} all */
function offerFilter(all) {
  byId('at-site').append(...all.map(({ id, name }) => el('option', { value: id, text: name })));
  byId('at-site').hidden = all.length < 2;
}

/** @type {number | undefined} */
let typing;
byId('search').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => load(), SEARCH_PAUSE_MS);
});
for (const filter of [byId('active'), byId('face'), byId('at-site')]) filter.addEventListener('change', () => load());
byId('more').addEventListener('click', () => busy(byId('more'), () => load({ more: true })));
mountImport(() => load());
mountPhotos(() => load());
mountBadges(() => ({ q: byId('search').value.trim(), enrolled: byId('face').value, site: byId('at-site').value }));
byId('add').addEventListener('click', openAdd);
window.addEventListener('hashchange', followHash);

async function begin() {
  byId('trouble').replaceChildren();
  list.replaceChildren(...Array.from({ length: 5 }, () => el('li', { class: 'skeleton' })));
  try {
    const account = await currentAccount();
    const sites = await loadSites();
    if (begun) return; // meanwhile, by another try
    begun = true;
    can = abilities(account);
    offerFilter(sites);
  } catch (error) {
    if (begun) return;
    list.replaceChildren();
    list.removeAttribute('aria-busy');
    byId('trouble').replaceChildren(failure(error, begin));
    return;
  }
  byId('add').hidden = !can.edit;
  byId('import').hidden = !can.administer;
  byId('enroll-many').hidden = !can.enroll;
  if (can.enroll) showLimit(can.administer);
  byId('print-badges').hidden = !can.edit;
  followHash();
  await load();
}
await begin();

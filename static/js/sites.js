// Sites: shows the list, and adds, changes and removes sites.

import { explain, patch, post, remove } from './api.js';
import { abilities, currentAccount } from './session.js';
import { ask, closable } from './ui/dialog.js';
import { byId, el, icon, notice, plural } from './ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from './ui/form.js';
import { loadSites } from './ui/sites.js';
import { toast } from './ui/toast.js';

/** @typedef {ApiSchema<'SiteView'>} Site */

const USUAL_START = '04:00';
const USUAL_DIGITS = 6;
const list = byId('sites');
const dialog = closable(byId('site-dialog'));
const form = byId('site-form');
let mayChange = false;

/** @type {(id: string) => `/api/sites/${string}`} */
const address = (id) => `/api/sites/${encodeURIComponent(id)}`;

async function load() {
  try {
    list.replaceChildren(...(await loadSites()).map(row));
    byId('trouble').replaceChildren();
  } catch (error) {
    list.replaceChildren();
    byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
  }
  list.removeAttribute('aria-busy');
}

/** @param {Site} site */
function row(site) {
  const button = (/** @type {string} */ text, /** @type {string} */ tone, /** @type {(button: HTMLButtonElement) => void} */ press) => {
    const made = el('button', { class: `button ${tone}`, type: 'button', text, 'aria-label': `${text} ${site.name}` });
    made.addEventListener('click', () => press(made));
    return made;
  };
  return el(
    'li',
    {},
    el(
      'div',
      { class: 'row' },
      el('span', { class: 'avatar' }, icon('site')),
      el(
        'span',
        { class: 'row-main' },
        el('span', { class: 'row-title', text: site.name }),
        el('span', { class: 'row-note', text: `${site.zone} · workday from ${site.workday_starts}` }),
      ),
      site.is_default && el('span', { class: 'badge', text: 'Default', title: 'People, devices and cameras belong here unless you choose another site' }),
      el('a', { class: 'button', href: `/site?id=${site.id}`, text: 'Rules', 'aria-label': `Rules of ${site.name}` }),
      mayChange && button('Change', '', () => openForm(site)),
      mayChange && !site.is_default && button('Remove', 'danger', (pressed) => removeSite(site, pressed)),
    ),
  );
}

/**
 * @param {Site} site
 * @param {HTMLButtonElement} pressed
 */
async function removeSite({ id, name }, pressed) {
  const sure = await ask({ title: `Remove ${name}?`, text: 'Past punches are kept, with the name of the site.', action: 'Remove' });
  if (!sure) return;
  try {
    await busy(pressed, () => remove(address(id)));
    toast(`${name} was removed`);
    await load();
  } catch (error) {
    toast(sentence(explain(error)));
  }
}

/* Adding and changing */

/** @type {Site | null} */
let changed = null;

/** @param {Site | null} site */
function openForm(site) {
  changed = site;
  form.reset();
  clearErrors(form);
  byId('site-title').textContent = site ? 'Change the site' : 'Add a site';
  byId('site-submit').textContent = site ? 'Save' : 'Add';
  byId('site-name').value = site?.name ?? '';
  byId('site-zone').value = site?.zone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
  byId('site-starts').value = site?.workday_starts ?? USUAL_START;
  byId('site-grow').checked = site?.grow_templates ?? false;
  byId('site-both').checked = site?.face_and_pin ?? false;
  byId('site-enroll').checked = site?.kiosk_enrollment ?? false;
  byId('site-digits').value = String(site?.pin_digits ?? USUAL_DIGITS);
  byId('site-names').checked = site?.mqtt_names ?? false;
  dialog.showModal();
}

onSubmit(form, async ({ name, zone, workday_starts, pin_digits }) => {
  const body = {
    name: name.trim(),
    zone: zone.trim(),
    workday_starts,
    grow_templates: byId('site-grow').checked,
    face_and_pin: byId('site-both').checked,
    kiosk_enrollment: byId('site-enroll').checked,
    pin_digits: Number(pin_digits),
    mqtt_names: byId('site-names').checked,
  };
  const saved = await (changed ? patch(address(changed.id), body) : post('/api/sites', body));
  dialog.close();
  await load();
  const alone = saved.face_alone ?? 0;
  if (alone > 0) toast(`${plural(alone, 'person', 'people')} with a face ${alone === 1 ? 'has' : 'have'} neither a PIN nor a badge, and cannot punch here`);
  else toast(changed ? 'Saved' : `${body.name} was added`);
});

/* Wiring */

// Browsers that cannot list time zones let people type one.
const zones = Intl.supportedValuesOf?.('timeZone') ?? [];
byId('zones').replaceChildren(...[...new Set(['UTC', ...zones])].map((zone) => el('option', { value: zone })));
byId('add').addEventListener('click', () => openForm(null));

list.replaceChildren(el('li', { class: 'skeleton' }));
try {
  mayChange = abilities(await currentAccount()).administer;
  byId('add').hidden = !mayChange;
  await load();
} catch (error) {
  byId('trouble').replaceChildren(notice('bad', sentence(explain(error))));
}

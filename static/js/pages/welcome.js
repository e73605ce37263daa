// The second step of set-up: when a workday begins, and which rules to begin with. Everything can be skipped.

import { get, patch, put } from '../api.js';
import { parameter } from '../kit/address.js';
import { Notice, PageHead } from '../kit/basics.js';
import { Choice, Field, Form, useDraft } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { ZoneField, ownZone } from '../kit/zone.js';
import { PRESETS, ruleWords } from '../plans/rules.js';
import { abilities, currentAccount } from '../session.js';
import { loadSites } from '../ui/sites.js';

/** @typedef {import('../plans/rules.js').Rules} Rules */

const HOME = '/';

/** When a workday begins, with examples. @type {[starts: string, words: string, example: string][]} */
const STARTS = [
  ['04:00', 'At 04:00, as in offices, shops and restaurants', 'An employee who leaves at 01:30 still worked on the day before.'],
  ['00:00', 'At midnight, as in bakeries', 'An employee who comes at 02:00 works on the new day.'],
  ['12:00', 'At noon, for night crews', 'Everything from the evening to the morning after belongs to one day, also when an employee comes at 01:00.'],
];
const OTHER = 'other';

/** @type {[string, string, string][]} */
const BREAKS = [
  ['punch', 'Yes, when a break begins and when it ends', 'The break is not worked time. If the rules ask for a longer one, it is reported.'],
  ['deduct', 'No, deduct a break from long days', 'From 08:00 to 16:30 without a punched break, for example 30 minutes are deducted, and 8:00 h count.'],
  ['none', 'No, and deduct nothing', 'From 08:00 to 16:30, 8:30 h count.'],
];

/** What is deducted where a preset asks for no break. */
const USUAL_STEPS = [{ after: '6h', total: '30m' }];

async function read() {
  const [account, sites, presets] = await Promise.all([currentAccount(), loadSites(), get('/api/rule-presets')]);
  const site = sites.find(({ is_default: usual }) => usual);
  const sets = site ? (await get(`/api/sites/${site.id}/rules`)).items : [];
  return { account, site, isNew: sets.length === 0, presets: presets.items };
}

export function Page() {
  const known = useLoad(read, []);
  return html`
    <${PageHead} title=${known.data ? `Welcome, ${known.data.account.name}` : 'Welcome'} lead=${html`<p>Four questions, so that hours count as you need them, from the start of this year on. The answers hold for ${known.data?.site?.name ?? 'this site'} only; <a href="/sites">every site</a> has its own rules. You can skip the questions, and change the answers at any time.</p>`} />
    <${Show} of=${known}>
      ${(/** @type {Awaited<ReturnType<typeof read>>} */ { account, site, isNew, presets }) => {
        if (!abilities(account).administer || !site) return html`<${Notice} kind="info">Only admins set up sites. <a href=${HOME}>Go to today</a><//>`;
        if (!isNew) return html`<${Notice} kind="info">${site.name} already has rules: <a href=${`/site?id=${site.id}`}>look at them or change them</a>.<//>`;
        return html`<section class="card pad narrow-page" aria-label="Questions"><${Questions} site=${site} presets=${presets} /></section>`;
      }}
    <//>
  `;
}

/** @param {{site: ApiSchema<'SiteView'>, presets: ApiSchema<'PresetView'>[]}} props */
function Questions({ site, presets }) {
  const { draft, change, bind } = useDraft({
    zone: parameter('zone') || ownZone() || site.zone,
    starts: STARTS.some(([starts]) => starts === site.workday_starts) ? site.workday_starts : OTHER,
    workday_starts: site.workday_starts,
    preset: 'default',
    breaks: 'punch',
  });
  const starts = draft.starts === OTHER ? draft.workday_starts : draft.starts;
  const rules = rulesFor(presets.find(({ name }) => name === draft.preset), starts, draft.breaks);
  const send = async () => {
    const changed = await patch(`/api/sites/${site.id}`, /** @type {any} */ ({ zone: draft.zone.trim(), workday_starts: starts }));
    // From the start of the year, for hours that are entered later.
    if (rules) await put(`/api/sites/${site.id}/rules/${changed.workday.slice(0, 4)}-01-01`, /** @type {any} */ ({ rules }));
    location.assign(HOME);
  };
  /** @type {[string, string, string?][]} */
  const times = [...STARTS, [OTHER, 'At another time']];
  return html`
    <${Form} send=${send} action="Save and begin" cancelText="Skip" cancel=${() => location.assign(HOME)}>
      <${ZoneField} label="Which time zone are you in?" ...${bind('zone')} />
      <${Choice} name="starts" label="When does a workday begin?" hint="For people without a shift. A shift belongs to the day on which it begins in any case." value=${draft.starts} options=${times} choose=${(/** @type {string} */ chosen) => change({ starts: chosen })} />
      ${draft.starts === OTHER && html`<${Field} label="Start of the workday" type="time" invalid="Type a time such as 04:00" ...${bind('workday_starts')} />`}
      <${Choice} name="preset" label="Which rules do you want to begin with?" hint="A starting point, not legal advice." value=${draft.preset} options=${presets.map(({ name }) => [name, PRESETS[name] ?? name])} choose=${(/** @type {string} */ preset) => change({ preset })} />
      <${Choice} name="breaks" label="Do people punch their breaks?" value=${draft.breaks} options=${BREAKS} choose=${(/** @type {string} */ breaks) => change({ breaks })} />
      ${rules && html`<div class="preview" role="status"><p class="label">In words</p><ul class="bullets">${ruleWords(rules, { brief: true }).map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>`}
    <//>
  `;
}

/**
 * Returns the rules of a preset for these answers.
 * @param {ApiSchema<'PresetView'> | undefined} preset
 * @param {string} starts
 * @param {string} punched
 * @returns {Rules | undefined}
 */
function rulesFor(preset, starts, punched) {
  if (!preset) return undefined;
  const rules = /** @type {Rules} */ (/** @type {unknown} */ (preset.rules));
  const asked = rules.breaks;
  const breaks = { punch: asked, deduct: { mode: 'deduct', piece: asked?.piece ?? '15m', steps: asked?.steps ?? USUAL_STEPS }, none: null }[punched];
  return { ...rules, cut_off: starts, breaks: breaks ?? null };
}

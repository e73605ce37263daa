// The rules of a site: what holds now and in words, what held before and what will hold, and the holidays.

import { explain, get, getAll, remove } from '../api.js';
import { parameter } from '../kit/address.js';
import { Badge, Empty, Icon, Notice, PageHead } from '../kit/basics.js';
import { useFeed } from '../kit/feed.js';
import { addDays, addMonths, longDay } from '../kit/format.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { calendarWords } from '../plans/holidays.js';
import { PERIODS, ruleWords, usualRules } from '../plans/rules.js';
import { RulesDialog } from '../plans/rules-form.js';
import { abilities, currentAccount } from '../session.js';
import { ask } from '../ui/dialog.js';
import { sentence } from '../ui/form.js';
import { loadSites } from '../ui/sites.js';
import { toast } from '../ui/toast.js';

/** @typedef {{rules: import('../plans/rules.js').Rules, period: string, two_weeks_from?: string | null, four_eyes: boolean, overtime_approval?: boolean}} Settings */
/** @typedef {Settings & {from: string}} RuleSet */

/** To how many other sites the page leads. */
const LINKED = 8;

/** @param {string} id */
async function read(id) {
  const [account, site, rules, presets, holidays, sites] = await Promise.all([
    currentAccount(),
    get(`/api/sites/${id}`),
    get(`/api/sites/${id}/rules`),
    get('/api/rule-presets'),
    getAll('/api/holidays', { site: id }),
    loadSites(),
  ]);
  // The document describes rules as any object.
  const sets = /** @type {RuleSet[]} */ (/** @type {unknown} */ (rules.items));
  return { can: abilities(account), site, sets: sets.sort((a, b) => a.from.localeCompare(b.from)), presets: presets.items, holidays, sites };
}

export function Page() {
  const id = parameter('id');
  const known = useLoad(() => read(id), [id]);
  useFeed(['plan', 'site'], known.reload);
  if (!id) return html`<${PageHead} title="Rules of a site" /><${Notice} kind="info">Choose one of the <a href="/sites">sites</a>.<//>`;
  return html`
    <${PageHead} title=${known.data ? `Rules of ${known.data.site.name}` : 'Rules of a site'} lead=${html`<${Lead} id=${id} sites=${known.data?.sites ?? []} />`} />
    <${Show} of=${known}>${(/** @type {Awaited<ReturnType<typeof read>>} */ data) => html`<${Site} ...${data} reload=${known.reload} />`}<//>
  `;
}

/** Says for which site the rules are, and leads to those of the others. @param {{id: string, sites: ApiSchema<'SiteView'>[]}} props */
function Lead({ id, sites }) {
  const others = sites.filter((site) => site.id !== id);
  if (others.length === 0) return html`<p>How punches become hours. <a href="/sites">All sites</a></p>`;
  const links = others.slice(0, LINKED).map(({ id: other, name }, at) => html`${at > 0 && ', '}<a key=${other} href=${`/site?id=${other}`}>${name}</a>`);
  return html`<p>How punches become hours at this site only. Rules of other sites: ${links}${others.length > LINKED && html`, <a href="/sites">and ${others.length - LINKED} more</a>`}</p>`;
}

/** @param {Awaited<ReturnType<typeof read>> & {reload: () => Promise<void>}} props */
function Site({ can, site, sets, presets, holidays, sites, reload }) {
  const [open, setOpen] = useState(/** @type {{from: string, fixed: boolean, settings: Settings} | undefined} */ (undefined));
  const now = sets.findLast(({ from }) => from <= site.workday);
  /** @type {Settings} */
  const present = now ? withoutDate(now) : { rules: usualRules(site.workday_starts), period: 'month', four_eyes: false };
  // The first rules hold for the present period too; later ones from the next month on.
  const from = sets.length === 0 ? addMonths(site.workday, 0) : addMonths(site.workday, 1);
  const close = () => setOpen(undefined);
  const done = async () => {
    close();
    await reload();
    toast('The rules were saved');
  };
  const drop = async (/** @type {RuleSet} */ set) => {
    const before = sets.findLast((other) => other.from < set.from);
    const text = `${before ? `The rules from ${longDay(before.from)} on` : 'The usual rules'} hold instead. Locked days stay as they are.`;
    if (!(await ask({ title: `Remove the rules from ${longDay(set.from)} on?`, text, action: 'Remove' }))) return;
    try {
      await remove(`/api/sites/${site.id}/rules/${set.from}`);
      toast('The rules were removed');
    } catch (error) {
      toast(sentence(explain(error)));
    }
    await reload();
  };
  return html`
    <section class="card pad" aria-labelledby="now">
      <div class="section-head">
        <h2 id="now">Now</h2>
        ${can.edit && html`<button class="button primary" type="button" onClick=${() => setOpen({ from, fixed: false, settings: present })}>Change the rules</button>`}
      </div>
      <p class="soft">${now ? `Since ${longDay(now.from)}.` : 'No rules are set for this site yet: the usual ones hold.'} The time zone is ${site.zone}.</p>
      <ul class="bullets">${settingWords(present).map((text) => html`<li key=${text}>${text}</li>`)}</ul>
    </section>
    <section class="card" aria-labelledby="dates">
      <h2 id="dates" class="card-title">By date</h2>
      ${sets.length === 0 && html`<${Empty}><p>Rules hold from a date on until others do. Days before the date never change.</p><//>`}
      <ul class="rows">
        ${sets.toReversed().map(
          (set) => html`<li key=${set.from} data-from=${set.from}>
            <div class="row">
              <div class="row-main"><span class="row-title">From ${longDay(set.from)} on</span><span class="row-note wrap">${until(set, sets)}${periodWords(set)} ${ruleWords(set.rules, { brief: true }).join(' ')}</span></div>
              ${set === now && html`<${Badge} tone="in">Now<//>`}
              ${set.from > site.workday && html`<${Badge}>Later<//>`}
              ${
                can.edit &&
                html`<button class="button" type="button" aria-label=${`Change the rules from ${longDay(set.from)} on`} onClick=${() => setOpen({ from: set.from, fixed: true, settings: withoutDate(set) })}>Change</button>
                  <button class="button danger" type="button" aria-label=${`Remove the rules from ${longDay(set.from)} on`} onClick=${() => drop(set)}>Remove</button>`
              }
            </div>
          </li>`,
        )}
      </ul>
    </section>
    <section class="card" aria-labelledby="holidays">
      <h2 id="holidays" class="card-title">Holidays</h2>
      ${holidays.length === 0 && html`<${Empty}><p>The site has no calendar of holidays.</p><//>`}
      <ul class="rows">${holidays.map((calendar) => html`<li key=${calendar.id}><div class="row"><div class="row-main"><span class="row-title">${calendar.name}</span><span class="row-note wrap">${calendarWords(calendar, sites)}</span></div></div></li>`)}</ul>
      <p class="card-foot"><a class="button" href="/plans?part=holidays"><${Icon} name="link" />Calendars of holidays</a></p>
    </section>
    ${open && html`<${RulesDialog} key=${open.from} site=${site} presets=${presets} done=${done} close=${close} ...${open} />`}
  `;
}

/** Returns what the API takes of a set of rules. @param {RuleSet} set @returns {Settings} */
const withoutDate = ({ from: _, ...settings }) => settings;

/** "Until Monday, November 30, 2026. " @param {RuleSet} set @param {RuleSet[]} sets */
function until(set, sets) {
  const next = sets.find((other) => other.from > set.from);
  return next ? `Until ${longDay(addDays(next.from, -1))}. ` : '';
}

/** @param {Settings} settings */
const periodWords = ({ period, two_weeks_from: twoWeeks, four_eyes: fourEyes, overtime_approval: overtime }) =>
  [
    `Period of a timesheet: ${(new Map(PERIODS).get(period) ?? period).toLocaleLowerCase()}.`,
    period === 'two_weeks' && twoWeeks && `Two weeks begin with the week of ${longDay(twoWeeks)}.`,
    fourEyes && 'Another person must decide on what a person asked for or entered.',
    overtime && 'Approving a timesheet with overtime asks whether the overtime is approved, too.',
  ]
    .filter(Boolean)
    .join(' ');

/** @param {Settings} settings */
const settingWords = (settings) => [periodWords(settings), ...ruleWords(settings.rules)];

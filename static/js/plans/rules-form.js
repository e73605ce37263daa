// The form for the rules of a site: a preset to start from, and each rule with what it does and an example.

import { put } from '../api.js';
import { Icon } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Check, Choice, Field, Form, Group, useDraft } from '../kit/form.js';
import { html } from '../kit/html.js';
import { BAND_DAYS, PERIODS, PRESETS, WEEKDAYS, draftOf, ruleWords, rulesOf } from './rules.js';

/** @typedef {import('./rules.js').Rules} Rules */
/** @typedef {{currentTarget: HTMLInputElement}} Typed */
/** @typedef {ReturnType<typeof useDraft<any>>} Draft */

/** The choice that keeps the present values. */
const KEEP = '';

/** @type {[string, string][]} */
const STEPS = [
  ['5m', '5 minutes'],
  ['6m', '6 minutes, a tenth of an hour'],
  ['10m', '10 minutes'],
  ['15m', '15 minutes'],
];

/**
 * @param {{site: ApiSchema<'SiteView'>, from: string, fixed: boolean, settings: {rules: Rules, period: string, two_weeks_from?: string | null, four_eyes: boolean, overtime_approval?: boolean}, presets: ApiSchema<'PresetView'>[],
 *   done: () => Promise<void>, close: () => void}} props `fixed` keeps the date
 */
export function RulesDialog({ site, from, fixed, settings, presets, done, close }) {
  const form = useDraft({ ...draftOf(settings.rules), from, preset: KEEP, period: settings.period, two_weeks_from: settings.two_weeks_from ?? '', four_eyes: settings.four_eyes, overtime_approval: settings.overtime_approval ?? false });
  const { draft, change, bind } = form;
  const rules = rulesOf(draft);
  const preset = presets.find(({ name }) => name === draft.preset);
  const choose = (/** @type {string} */ name) => {
    const found = presets.find((one) => one.name === name);
    // When the day begins depends on the work, not on the country.
    const filled = draftOf(found ? { .../** @type {Rules} */ (/** @type {unknown} */ (found.rules)), cut_off: draft.cut_off } : settings.rules);
    change({ ...filled, preset: name });
  };
  const send = async () => {
    await put(`/api/sites/${site.id}/rules/${draft.from}`, /** @type {any} */ ({ ...settings, rules, period: draft.period, two_weeks_from: draft.two_weeks_from || null, four_eyes: draft.four_eyes, overtime_approval: draft.overtime_approval }));
    await done();
  };
  /** @type {[string, string, unknown?][]} */
  const offered = [[KEEP, 'Keep the present values'], ...presets.map(({ name }) => /** @type {[string, string]} */ ([name, PRESETS[name] ?? name]))];
  return html`
    <${Dialog} title=${fixed ? 'Change these rules' : 'Change the rules'} onClose=${close} sheet>
      <${Form} send=${send} action="Save" cancel=${close}>
        <${Field} label="Hold from" type="date" readonly=${fixed} invalid="Choose a date" hint=${fixed ? 'To let them hold from another date, close this and choose “Change the rules”.' : 'The first workday. Days before it, and locked days, never change.'} ...${bind('from')} name="date" />
        <div class="field">
          <${Choice} name="preset" label="Start from" value=${draft.preset} options=${offered} choose=${choose} hint="A preset fills in the fields below, and you can change each of them. It is a starting point, not legal advice." />
          ${preset && html`<div class="preview" role="status"><ul class="bullets">${ruleWords(/** @type {Rules} */ (/** @type {unknown} */ (preset.rules)), { brief: true }).map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>`}
        </div>
        <${Days} form=${form} />
        <${Lateness} form=${form} />
        <${Breaks} form=${form} />
        <${Overtime} form=${form} />
        <${Bands} form=${form} />
        <${Limits} form=${form} />
        <section class="section" aria-labelledby="in-words"><h3 id="in-words">In words</h3><ul class="bullets">${ruleWords(rules).map((text) => html`<li key=${text}>${text}</li>`)}</ul></section>
      <//>
    <//>
  `;
}

/**
 * Returns the properties of the field of a rule, whose name is that in the API.
 * @param {Draft} form
 * @param {string} name
 * @param {string} [path]
 */
const rule = (form, name, path = name) => ({ ...form.bind(name), name: `rules.${path}` });

/** @param {{form: Draft}} props */
const Days = ({ form }) => html`
  <section class="section" aria-labelledby="rules-days">
    <h3 id="rules-days">Timesheets and days</h3>
    <${Field} label="Period of a timesheet" options=${PERIODS} hint="How many days an employee submits and a manager approves at once." ...${form.bind('period')} />
    ${form.draft.period === 'two_weeks' && html`<${Field} label="A date on which two weeks begin" type="date" optional hint="Any of them. Without it, January 5, 2026 is one." ...${form.bind('two_weeks_from')} />`}
    <${Field} label="Start of the workday" type="time" invalid="Type a time such as 04:00" hint="For people without a shift. With 04:00, an employee who leaves at 01:30 still worked on the day before. It counts instead of the start of the workday on the page Sites." ...${rule(form, 'cut_off')} />
    <${Field} label="A week begins on" options=${WEEKDAYS} hint="For overtime of a week, and for weekly timesheets." ...${rule(form, 'week_starts')} />
    <${Check} label="Four eyes" hint="Another person must decide on what a person asked for or entered. For example, a manager cannot approve a correction of their own." ...${form.tick('four_eyes')} />
    <${Check} label="Ask for overtime" hint="Approving a timesheet with overtime asks whether the overtime is approved, too. If not, payroll files leave it out." ...${form.tick('overtime_approval')} />
  </section>
`;

/** @param {{form: Draft}} props */
function Lateness({ form }) {
  const { draft, tick } = form;
  /** @type {[string, string][]} */
  const rounded = [
    ['none', 'Nothing'],
    ['punch', 'The first in and the last out of a day'],
    ['day', 'The worked time of a day'],
  ];
  /** @type {[string, string][]} */
  const modes = [
    ['nearest', 'To the nearest step'],
    ['employee', 'Always in favor of the employee'],
  ];
  const example = draft.rounding_of === 'day' ? 'To the nearest quarter of an hour, 8:07 h are 8:00 h.' : 'To the nearest quarter of an hour, 08:07 to 16:38 counts as 08:00 to 16:45.';
  return html`
    <section class="section" aria-labelledby="rules-late">
      <h3 id="rules-late">Late, early, rounding</h3>
      <div class="two">
        <${Field} label="Grace for coming late, in minutes" optional inputmode="numeric" hint="With 5, an employee who comes at 08:05 for 08:00 is not late. At 08:06, all 6 minutes count." ...${rule(form, 'grace_late')} />
        <${Field} label="Grace for leaving early, in minutes" optional inputmode="numeric" hint="With 5, an employee who leaves a shift that ends at 16:00 at 15:55 is not early." ...${rule(form, 'grace_early')} />
      </div>
      <${Check} label="Do not count time before the shift" hint="With a shift from 08:00, an employee who comes at 07:40 works from 08:00 on." ...${tick('clip')} name="rules.clip" />
      <${Field} label="Round" options=${rounded} hint=${draft.rounding_of === 'none' ? 'Hours count to the second.' : example} ...${rule(form, 'rounding_of', 'rounding.of')} />
      ${
        draft.rounding_of !== 'none' &&
        html`<div class="two">
          <${Field} label="To steps of" options=${STEPS} ...${rule(form, 'rounding_to', 'rounding.to')} />
          <${Field} label="Direction" options=${modes} ...${rule(form, 'rounding_mode', 'rounding.mode')} />
        </div>`
      }
    </section>
  `;
}

/** @param {{form: Draft}} props */
function Breaks({ form }) {
  const { draft, change } = form;
  const set = (/** @type {number} */ place, /** @type {object} */ changes) => change({ steps: draft.steps.map((/** @type {object} */ step, /** @type {number} */ index) => (index === place ? { ...step, ...changes } : step)) });
  const drop = (/** @type {number} */ place) => change({ steps: draft.steps.filter((/** @type {object} */ _, /** @type {number} */ index) => index !== place) });
  /** @type {[string, string, string][]} */
  const modes = [
    ['none', 'Ask for no break', 'Only breaks that people punch are deducted.'],
    ['deduct', 'Deduct what is missing', 'For people who do not punch their breaks: from 08:00 to 16:30 without a break, 30 minutes are deducted, and 8:00 h count.'],
    ['warn', 'Report breaks that are too short', 'For people who punch their breaks. Nothing is deducted; the day gets the exception “Short break”.'],
  ];
  /** @type {[string, string, string][]} */
  const paid = [
    ['none', 'No break is paid', 'Every punched break is deducted.'],
    ['short', 'Short breaks are paid', 'With 20 minutes, a coffee break of 15 minutes counts as work, and a lunch of 30 minutes does not.'],
  ];
  return html`
    <section class="section" aria-labelledby="rules-breaks">
      <h3 id="rules-breaks">Breaks</h3>
      <${Choice} name="rules.breaks.mode" label="Breaks that the law or a contract asks for" value=${draft.breaks_mode} options=${modes} choose=${(/** @type {string} */ mode) => change({ breaks_mode: mode })} />
      ${
        draft.breaks_mode !== 'none' &&
        html`<${Group} label="How much break" name="rules.breaks.steps" hint="For example 30 minutes after more than 6:00 hours of work, and 45 after more than 9:00.">
          ${draft.steps.map(
            (/** @type {{after: string, total: string}} */ step, /** @type {number} */ place) => html`<div class="step-row" key=${place}>
              <div class="field"><label>After hours of work <input class="input" inputmode="decimal" required data-invalid="Type hours such as 6:00" name=${`rules.breaks.steps[${place}].after`} value=${step.after} onInput=${(/** @type {Typed} */ event) => set(place, { after: event.currentTarget.value })} /></label></div>
              <div class="field"><label>Minutes of break <input class="input" inputmode="numeric" required data-invalid="Type minutes such as 30" name=${`rules.breaks.steps[${place}].total`} value=${step.total} onInput=${(/** @type {Typed} */ event) => set(place, { total: event.currentTarget.value })} /></label></div>
              <button class="button plain" type="button" aria-label=${`Remove step ${place + 1}`} onClick=${() => drop(place)}><${Icon} name="trash" /></button>
            </div>`,
          )}
          <div class="actions"><button class="button" type="button" onClick=${() => change({ steps: [...draft.steps, { after: '9:00', total: '45' }] })}><${Icon} name="plus" />Add a step</button></div>
        <//>`
      }
      ${draft.breaks_mode === 'warn' && html`<${Field} label="Shortest break that counts, in minutes" inputmode="numeric" invalid="Type minutes such as 15" hint="With 15, three breaks of 10 minutes are no break." ...${rule(form, 'piece', 'breaks.piece')} />`}
      <${Choice} name="paid_breaks" label="Paid breaks" value=${draft.pays} options=${paid} choose=${(/** @type {string} */ pays) => change({ pays })} />
      ${
        draft.pays === 'short' &&
        html`<div class="two">
          <${Field} label="Longest paid break, in minutes" inputmode="numeric" invalid="Type minutes such as 20" hint="A longer break is not paid at all." ...${rule(form, 'up_to', 'paid_breaks.up_to')} />
          <${Field} label="Most paid in a day, in minutes" optional inputmode="numeric" hint="Leave it empty for no limit." ...${rule(form, 'paid_total', 'paid_breaks.total')} />
        </div>`
      }
    </section>
  `;
}

/** @param {{form: Draft}} props */
function Overtime({ form }) {
  const { draft, change } = form;
  /** @type {[string, string, string][]} */
  const kinds = [
    ['plan', 'Beyond what is planned', 'With a shift of 8:00 h, an employee who works 9:30 h has 1:30 h of overtime.'],
    ['fixed', 'Beyond a number of hours', 'The same for everybody, with or without a plan.'],
    ['none', 'No overtime of a day', 'Only the week counts.'],
  ];
  return html`
    <section class="section" aria-labelledby="rules-overtime">
      <h3 id="rules-overtime">Overtime</h3>
      <${Choice} name="overtime" label="Overtime of a day" value=${draft.overtime_day} options=${kinds} choose=${(/** @type {string} */ day) => change({ overtime_day: day })} />
      ${draft.overtime_day === 'fixed' && html`<${Field} label="Hours of a day" inputmode="decimal" invalid="Type hours such as 8:00" hint="With 8:00, an employee who works 9:00 h has 1:00 h of overtime." ...${rule(form, 'overtime_fixed', 'overtime_day')} />`}
      <div class="two">
        <${Field} label="Overtime beyond hours a week" optional inputmode="decimal" hint="With 40:00, five days of 9:00 h have 5:00 h of overtime. What is overtime of a day does not count twice." ...${rule(form, 'overtime_week')} />
        <${Field} label="Least overtime of a day, in minutes" optional inputmode="numeric" hint="With 15, 14 minutes are none, and 16 minutes are 16." ...${rule(form, 'overtime_min')} />
      </div>
    </section>
  `;
}

/** @param {{form: Draft}} props */
function Bands({ form: { draft, change } }) {
  /** @typedef {{name: string, from: string, to: string, days: string[]}} Band */
  const bands = /** @type {Band[]} */ (draft.bands);
  const set = (/** @type {number} */ place, /** @type {Partial<Band>} */ changes) => change({ bands: bands.map((band, index) => (index === place ? { ...band, ...changes } : band)) });
  const toggle = (/** @type {number} */ place, /** @type {string} */ day) => {
    const days = bands[place]?.days ?? [];
    set(place, { days: BAND_DAYS.map(([name]) => name).filter((name) => days.includes(name) !== (name === day)) });
  };
  return html`
    <section class="section" aria-labelledby="rules-bands">
      <h3 id="rules-bands">Hours with a figure of their own</h3>
      <p class="hint">Payroll pays some hours differently: at night, on Sundays, on holidays. They are counted apart, and remain part of the worked hours. With a night from 23:00 to 06:00, a shift from 22:00 to 06:00 has 7:00 h of night.</p>
      ${bands.map(
        (band, place) => html`<${Group} key=${place} label=${`Figure ${place + 1}`} name=${`rules.bands[${place}]`}>
          <div class="step-row">
            <div class="field grow"><label>Name <input class="input" required maxlength="64" data-invalid="Type a name" name=${`rules.bands[${place}].name`} value=${band.name} onInput=${(/** @type {Typed} */ event) => set(place, { name: event.currentTarget.value })} /></label></div>
            <div class="field"><label>From <input class="input" type="time" required data-invalid="Type a time" name=${`rules.bands[${place}].from`} value=${band.from} onInput=${(/** @type {Typed} */ event) => set(place, { from: event.currentTarget.value })} /></label></div>
            <div class="field"><label>To <input class="input" type="time" required data-invalid="Type a time" name=${`rules.bands[${place}].to`} value=${band.to} onInput=${(/** @type {Typed} */ event) => set(place, { to: event.currentTarget.value })} /></label></div>
            <button class="button plain" type="button" aria-label=${`Remove figure ${place + 1}`} onClick=${() => change({ bands: bands.filter((_, index) => index !== place) })}><${Icon} name="trash" /></button>
          </div>
          <div class="day-checks" role="group" aria-label="Days; none for every day">
            ${BAND_DAYS.map(([day, text]) => html`<label key=${day} class="check"><input type="checkbox" checked=${band.days.includes(day)} onChange=${() => toggle(place, day)} /> <span>${day === 'holiday' ? text : text.slice(0, 3)}</span></label>`)}
          </div>
        <//>`,
      )}
      <div class="actions"><button class="button" type="button" onClick=${() => change({ bands: [...bands, { name: bands.length === 0 ? 'night' : '', from: '23:00', to: '06:00', days: [] }] })}><${Icon} name="plus" />Add a figure</button></div>
    </section>
  `;
}

/** @param {{form: Draft}} props */
const Limits = ({ form }) => html`
  <section class="section" aria-labelledby="rules-limits">
    <h3 id="rules-limits">Limits</h3>
    <div class="two">
      <${Field} label="Longest day, in hours" optional inputmode="decimal" hint="With 10:00, a day with 10:30 h of work gets the exception “Long day”. Nothing is deducted." ...${rule(form, 'max_day')} />
      <${Field} label="Least rest between days, in hours" optional inputmode="decimal" hint="With 11:00, an employee who leaves at 22:00 and comes at 06:00 gets the exception “Short rest”." ...${rule(form, 'min_rest')} />
    </div>
    <${Field} label="Reach of a shift, in hours" inputmode="decimal" invalid="Type hours such as 4:00" hint="How long before its start and after its end a shift owns punches. With 4:00, an in at 05:00 belongs to a shift from 08:00." ...${rule(form, 'reach')} />
    <div class="two">
      <${Field} label="Longest stay with a shift, in hours" inputmode="decimal" invalid="Type hours such as 16:00" hint="An out that comes later belongs to no in, and the day gets the exception “No out”." ...${rule(form, 'longest')} />
      <${Field} label="Longest stay without a shift, in hours" inputmode="decimal" invalid="Type hours such as 13:00" hint="The same on a day without a shift." ...${rule(form, 'longest_unplanned')} />
    </div>
  </section>
`;

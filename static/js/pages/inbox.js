// The inbox: corrections, leave and timesheets that wait for a decision, and notices.

import { request } from '../api.js';
import { Notices } from '../inbox/notices.js';
import { parameter, setParameters } from '../kit/address.js';
import { ReviewDialog } from '../kit/approval.js';
import { Avatar, Badge, Button, Empty, Notice, PageHead } from '../kit/basics.js';
import { Outcome, Progress, RefusalNotice, correctionWords, dayOf, leaveWords, monthAddress, refusalOf, useChoice, workThrough } from '../kit/decisions.js';
import { LiveState, useFeed } from '../kit/feed.js';
import { browserToday, periodName, shortDay } from '../kit/format.js';
import { html, useEffect, useRef, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { DRAWN, Some } from '../kit/pages.js';
import { abilities, currentAccount } from '../session.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { dateTime } from '../ui/time.js';
import { announce, readWaiting } from '../waiting.js';

/** @typedef {import('../kit/decisions.js').Refusal} Refusal */
/** @typedef {import('../waiting.js').Sheet} Sheet */
/** @typedef {import('../waiting.js').Waiting} Waiting */

/**
 * Something that waits. A timesheet has a review instead of `approve` and `reject`.
 * @typedef {object} Entry
 * @property {string} id
 * @property {'corrections' | 'leave' | 'timesheets'} kind
 * @property {string} employee
 * @property {string} name
 * @property {string} what what is asked for
 * @property {string} href where to look
 * @property {string} [why]
 * @property {string} note who asked, since when
 * @property {Sheet} [sheet]
 * @property {string} [lasts] why it cannot be decided yet
 * @property {(adjust?: boolean) => Promise<unknown>} [approve]
 * @property {() => Promise<unknown>} [reject]
 */

const NEWS = ['timesheet', 'plan', 'punch'];
const KINDS = /** @type {const} */ ({ corrections: 'Corrections', leave: 'Leave', timesheets: 'Timesheets' });
/** What is shown; notices have no decision. */
const CHIPS = { '': 'All', ...KINDS, notices: 'Notices' };
/** Another account was faster, so the entry is gone. */
const GONE = ['correction_decided', 'already_decided', 'timesheet_state', 'not_found'];

export function Page() {
  const account = useLoad(currentAccount, []);
  return html`<${Show} of=${account}>${(/** @type {ApiSchema<'AccountView'>} */ known) => (abilities(known).survey ? html`<${Inbox} account=${known} />` : html`<${NotHere} account=${known} />`)}<//>`;
}

/** @param {{account: ApiSchema<'AccountView'>}} props */
const NotHere = ({ account: { employee } }) => html`
  <${PageHead} title="Inbox" />
  <section class="card"><${Empty}><p>Requests are decided here by managers. What you asked for is on ${employee ? html`<a href=${`/person?id=${employee}`}>your page</a>` : 'the page of the person'}.</p><//></section>
`;

/** @param {Waiting} waiting @returns {Entry[]} */
function entriesOf({ corrections, leave, sheets }) {
  return [
    ...corrections.map((one) => ({
      id: one.id,
      kind: /** @type {const} */ ('corrections'),
      employee: one.employee,
      name: one.name,
      what: correctionWords(one),
      href: monthAddress(one.employee, dayOf(one)),
      why: one.reason,
      note: asked(one.made_by_name, one.made_at, one.zone),
      approve: (adjust = false) => request('POST', `/api/corrections/${one.id}/approve`, { query: { adjust: adjust ? 'true' : '' } }),
      reject: () => request('POST', `/api/corrections/${one.id}/reject`),
    })),
    ...leave.map((one) => ({
      id: one.id,
      kind: /** @type {const} */ ('leave'),
      employee: one.employee,
      name: one.employee_name,
      what: leaveWords(one),
      href: monthAddress(one.employee, one.from),
      why: one.reason ?? undefined,
      note: asked(one.made_by_name, one.made_at),
      approve: () => request('POST', `/api/leave/${one.id}/approve`),
      reject: () => request('POST', `/api/leave/${one.id}/reject`),
    })),
    ...sheets.map((sheet) => ({
      id: sheet.id,
      kind: /** @type {const} */ ('timesheets'),
      employee: sheet.employee,
      name: sheet.name,
      what: `Hours of ${periodName(sheet.from, sheet.to)}`,
      href: monthAddress(sheet.employee, sheet.from),
      note: sheet.requested_corrections > 0 ? `Submitted, and ${plural(sheet.requested_corrections, 'correction')} of it still ${sheet.requested_corrections === 1 ? 'waits' : 'wait'}` : 'Submitted',
      sheet,
      lasts: sheet.to >= browserToday() ? `Lasts until ${shortDay(sheet.to)}` : undefined,
    })),
  ];
}

/** @param {string | null | undefined} who @param {string} at @param {import('../ui/time.js').Zone} [zone] */
const asked = (who, at, zone) => `Asked ${who ? `by ${who} ` : ''}on ${dateTime(at, zone)}`;

/** @param {{account: ApiSchema<'AccountView'>}} props */
function Inbox({ account }) {
  const { edit } = abilities(account);
  const read = async () => {
    const waiting = await readWaiting(account);
    announce(account, waiting);
    return { entries: entriesOf(waiting), notices: waiting.notices };
  };
  const waiting = useLoad(read, []);
  const feed = useFeed(NEWS, waiting.reload);
  return html`
    <${PageHead} title="Inbox" lead=${edit ? 'What waits for your decision' : 'What waits for a decision of a manager'} actions=${html`<a class="button" href="/timesheets">Timesheets</a><${LiveState} state=${feed} />`} />
    <${Show} of=${waiting}>${(/** @type {Awaited<ReturnType<typeof read>>} */ { entries, notices }) => html`<${Lists} entries=${entries} notices=${notices} decides=${edit} reload=${waiting.reload} />`}<//>
  `;
}

/** @param {{entries: Entry[], notices: import('../waiting.js').Notice[], decides: boolean, reload: () => Promise<void>}} props */
function Lists({ entries, notices, decides, reload }) {
  const only = parameter('kind');
  const { chosen, choose, chooseOnly } = useChoice();
  const [refused, setRefused] = useState(/** @type {Map<string, Refusal>} */ (new Map()));
  const [outcome, setOutcome] = useState(/** @type {unknown} */ (undefined));
  const [progress, setProgress] = useState(/** @type {{done: number, all: number} | undefined} */ (undefined));
  const [review, setReview] = useState(/** @type {Sheet[]} */ ([]));
  const next = useRef(/** @type {string | undefined} */ (undefined));
  const shown = entries.filter(({ kind }) => !only || kind === only);
  const noticed = !only || only === 'notices' ? notices : [];
  const selected = shown.filter(({ id, lasts }) => chosen.has(id) && !lasts);
  const choosable = shown.filter(({ lasts }) => !lasts);
  const isLong = Object.keys(KINDS).some((kind) => shown.filter((entry) => entry.kind === kind).length > DRAWN);

  // When the row with the focus is gone, the focus goes to the next one.
  useEffect(() => {
    if (!next.current) return;
    const row = document.querySelector(`[data-entry="${next.current}"]`);
    if (document.activeElement === document.body) /** @type {HTMLElement | null} */ (row?.querySelector('button:last-of-type'))?.focus();
    next.current = undefined;
  }, [entries]);

  const forget = (/** @type {string} */ id) =>
    setRefused((before) => {
      const after = new Map(before);
      after.delete(id);
      return after;
    });

  const decide = async (/** @type {Entry} */ entry, /** @type {'approve' | 'reject'} */ verb, adjust = false) => {
    setOutcome(undefined);
    try {
      await entry[verb]?.(adjust);
      forget(entry.id);
      setOutcome(html`<${Notice} kind="good">${verb === 'approve' ? 'Approved' : 'Rejected'}: ${entry.name}, ${entry.what}.${adjust && ' It is an adjustment.'}<//>`);
      next.current = shown[shown.indexOf(entry) + 1]?.id;
      await reload();
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.code === 'timesheet_locked' && !adjust && (await askToAdjust(entry))) return decide(entry, verb, true);
      if (!GONE.includes(refusal.code)) return setRefused((before) => new Map(before).set(entry.id, refusal));
      setOutcome(html`<${Notice} kind="bad">${entry.name}, ${entry.what}: ${refusal.words}<//>`);
      await reload();
    }
  };

  const approveSelected = async () => {
    const sheets = selected.flatMap(({ sheet }) => sheet ?? []);
    const others = selected.filter(({ sheet }) => !sheet);
    const failed = await workThrough(others, ({ approve }) => /** @type {() => Promise<unknown>} */ (approve)(), setProgress);
    setRefused(new Map(failed.map(({ item, refusal }) => [item.id, refusal])));
    chooseOnly(failed.map(({ item }) => item.id));
    if (others.length > 0) setOutcome(html`<${Outcome} done=${`${others.length - failed.length} approved.`} refused=${failed.map(({ item, refusal }) => ({ ...item, refusal }))} />`);
    setReview(sheets);
    await reload();
  };

  return html`
    <div class="chips" role="group" aria-label="What to show">
      ${Object.entries(CHIPS).map(
        ([code, text]) => html`
          <button key=${code} type="button" class="chip" aria-pressed=${String(only === code)} onClick=${() => setParameters({ kind: code })}>
            <span class="chip-count">${(code === 'notices' ? 0 : entries.filter(({ kind }) => !code || kind === code).length) + (!code || code === 'notices' ? notices.length : 0)}</span> <span>${text}</span>
          </button>
        `,
      )}
    </div>
    ${
      decides &&
      choosable.length > 1 &&
      html`<div class="toolbar choosing">
        <label class="check"><input type="checkbox" checked=${selected.length === choosable.length} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose(choosable, currentTarget.checked)} /> <span>Select all ${choosable.length}${isLong && ', shown or not'}</span></label>
        <${Button} tone="primary" disabled=${selected.length === 0} onClick=${approveSelected}>Approve the selected (${selected.length})<//>
      </div>`
    }
    <div class="outcome" aria-live="polite">${progress ? html`<${Progress} of=${progress} doing="Approving" />` : outcome}</div>
    ${noticed.length > 0 && html`<${Notices} notices=${noticed} edits=${decides} reload=${reload} />`}
    ${shown.length + noticed.length === 0 && html`<section class="card"><${Empty}><p>${only === 'notices' ? 'There is no notice.' : 'Nothing waits for a decision.'}</p><//></section>`}
    ${Object.entries(KINDS).map(([kind, title]) => {
      const some = shown.filter((entry) => entry.kind === kind);
      return (
        some.length > 0 &&
        html`<section class="card" key=${kind} aria-labelledby=${`list-${kind}`}>
          <h2 class="card-title" id=${`list-${kind}`}>${title} <span class="soft">${some.length}</span></h2>
          <${Some} of=${some}>${(/** @type {Entry[]} */ drawn) => html`<ul class="rows">
            ${drawn.map(
              (entry) => html`<${Row}
                key=${entry.id}
                entry=${entry}
                refusal=${refused.get(entry.id)}
                decides=${decides}
                chosen=${chosen.has(entry.id)}
                choose=${(/** @type {boolean} */ on) => choose([entry], on)}
                decide=${(/** @type {'approve' | 'reject'} */ verb) => decide(entry, verb)}
                review=${() => entry.sheet && setReview([entry.sheet])}
              />`,
            )}
          </ul>`}<//>
        </section>`
      );
    })}
    ${review.length > 0 && html`<${ReviewDialog} sheets=${review} onClose=${() => setReview([])} onApproved=${reload} />`}
  `;
}

/** Asks whether a correction of a locked period may become an adjustment. @param {Entry} entry */
const askToAdjust = ({ name, what }) =>
  ask({
    title: 'Make it an adjustment?',
    text: `${name}, ${what}: this day is locked. Its figures stay as they were approved. With an adjustment, the difference is paid in the first open period.`,
    action: 'Approve as an adjustment',
  });

/** @param {{entry: Entry, refusal?: Refusal, decides: boolean, chosen: boolean, choose: (on: boolean) => void, decide: (verb: 'approve' | 'reject') => unknown, review: () => void}} props */
function Row({ entry: { id, employee, name, what, href, why, note, sheet, lasts }, refusal, decides, chosen, choose, decide, review }) {
  const about = `${name}: ${what}`;
  return html`
    <li data-entry=${id}>
      <div class="row">
        ${decides && html`<input class="tick-box" type="checkbox" aria-label=${`Select ${about}`} checked=${chosen && !lasts} disabled=${Boolean(lasts)} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => choose(currentTarget.checked)} />`}
        <${Avatar} name=${name} />
        <div class="row-main">
          <a class="row-title" href=${href}>${name}</a>
          <span class="row-what">${what}</span>
          ${why && html`<span class="row-why">“${why}”</span>`}
          <span class="row-note">${note}</span>
        </div>
        <div class="row-side">
          ${lasts && html`<${Badge}>${lasts}<//>`}
          ${decides && !sheet && html`<${Button} label=${`Reject ${about}`} onClick=${() => decide('reject')}>Reject<//><${Button} tone="primary" label=${`Approve ${about}`} onClick=${() => decide('approve')}>Approve<//>`}
          ${decides && sheet && !lasts && html`<button class="button primary" type="button" aria-label=${`Review ${about}`} onClick=${review}>Review</button>`}
        </div>
      </div>
      ${refusal && html`<div class="row-refusal"><${RefusalNotice} refusal=${refusal} employee=${employee} /></div>`}
    </li>
  `;
}

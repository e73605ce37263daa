// One day: how its figures were made, its punches, and their corrections.

import { setParameters } from '../kit/address.js';
import { Badge, Button, Link, Notice } from '../kit/basics.js';
import { Clock, ZonesNote } from '../kit/clock.js';
import { Dialog } from '../kit/dialog.js';
import { hours, longDay, signedHours, wallClock, wallTime } from '../kit/format.js';
import { html, useEffect, useRef, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { BLOCKING, DOUBTS, EXCEPTIONS, FIGURES, KIND_REASONS, KINDS, PROOFS } from '../kit/words.js';
import { sentence } from '../ui/form.js';
import { CorrectionForm, Corrections, Outcome } from './corrections.js';
import { beside } from './days.js';
import { correctionsOf, linesOf, readPunches, touching } from './record.js';

/** @typedef {import('./record.js').Day} Day */
/** @typedef {import('./record.js').Line} Line */
/** @typedef {import('./record.js').Month} Month */
/** @typedef {import('./record.js').Rights} Rights */

/** The color of each kind of a punch. @type {Record<string, string>} */
const TONES = { in: 'in', out: 'out', break_start: 'warn', break_end: 'in' };

/**
 * The sheet of a day.
 * @param {{employee: string, day: Day, month: Month, rights: Rights, reload: () => Promise<unknown>}} props
 */
export function DaySheet({ employee, day, month, rights, reload }) {
  const { before, after } = beside(month.days, day.day);
  return html`
    <${Dialog} sheet title=${longDay(day.day)} onClose=${() => setParameters({ day: '' })}>
      <nav class="actions" aria-label="Other days">
        ${before && html`<${Link} class="button" to=${{ day: before }}>‹ The day before<//>`}
        ${after && html`<${Link} class="button" to=${{ day: after }}>The day after ›<//>`}
      </nav>
      <${ZonesNote} zones=${[day.zone]} />
      <${Figures} day=${day} board=${rights.board} />
      <${Record} key=${day.day} employee=${employee} day=${day} month=${month} rights=${rights} reload=${reload} />
    <//>
  `;
}

/** @param {{day: Day, board: boolean}} props */
function Figures({ day, board }) {
  const figures = /** @type {Record<string, number>} */ (/** @type {unknown} */ (day));
  const known = Object.entries(FIGURES).filter(([name]) => figures[name] || name === 'worked');
  const bands = Object.entries(day.bands).filter(([, length]) => length);
  const signed = new Set(['balance', 'rounded_by']);
  const last = day.spans.at(-1);
  const open = last && !last.out && !day.exceptions.includes('missing_out');
  return html`
    <section class="section" aria-labelledby="day-figures">
      <h3 id="day-figures">Hours</h3>
      ${day.exceptions.map((code) => html`<${Notice} key=${code} kind=${BLOCKING.has(code) ? 'bad' : 'warn'}>${EXCEPTIONS[code] ?? code}<//>`)}
      ${day.locked && html`<p class="soft small">This day is locked: its hours are those that were approved.</p>`}
      ${open && html`<p class="soft small">Still at work since ${wallClock(last.in)}. These hours are added at the punch out.${board && html` Until then, the board shows them as <strong>Worked so far</strong>.`}</p>`}
      <dl class="facts">
        ${known.map(([name, words]) => html`<div key=${name}><dt>${words}</dt><dd>${signed.has(name) ? signedHours(figures[name]) : hours(figures[name])}</dd></div>`)}
        ${bands.map(([name, length]) => html`<div key=${name}><dt>${sentence(name)} hours</dt><dd>${hours(length)}</dd></div>`)}
        ${day.running_balance != null && html`<div><dt>Running balance</dt><dd>${signedHours(day.running_balance)}</dd></div>`}
      </dl>
      ${day.steps.length > 0 && html`<h4>How they were counted</h4><ul class="explanation">${day.steps.map(({ text }, index) => html`<li key=${index}>${sentence(text)}</li>`)}</ul>`}
    </section>
  `;
}

/** @param {{employee: string, day: Day, month: Month, rights: Rights, reload: () => Promise<unknown>}} props */
function Record({ employee, day, month, rights, reload }) {
  const read = useLoad(() => readPunches(employee, day.day, month.sheets), [employee, day.day]);
  const shown = useRef(month);
  useEffect(() => {
    if (shown.current !== month) read.reload();
    shown.current = month;
  }, [month]);
  return html`
    <${Show} of=${read}>
      ${(/** @type {Awaited<ReturnType<typeof readPunches>>} */ { punches, others }) => {
        const corrections = correctionsOf([...month.sheets, ...others]);
        const lines = linesOf(day, month.days.days, punches, corrections);
        const touched = touching(day, corrections, lines);
        return html`
          <${Punches} employee=${employee} day=${day} lines=${lines} rights=${rights} reload=${reload} />
          ${
            touched.length > 0 &&
            html`<section class="section" aria-labelledby="day-corrections">
              <h3 id="day-corrections">Corrections</h3>
              <${Corrections} corrections=${touched} lines=${lines} day=${day} rights=${rights} reload=${reload} />
            </section>`
          }
        `;
      }}
    <//>
  `;
}

/** @param {{employee: string, day: Day, lines: Line[], rights: Rights, reload: () => Promise<unknown>}} props */
function Punches({ employee, day, lines, rights, reload }) {
  const [editing, setEditing] = useState(/** @type {{action: 'add' | 'move' | 'void', line?: Line} | undefined} */ (undefined));
  const title = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    setEditing(undefined);
    title.current?.focus();
  };
  const done = async () => {
    close();
    await reload();
  };
  const form = () => html`<${CorrectionForm} employee=${employee} day=${day} rights=${rights} action=${editing?.action} line=${editing?.line} done=${done} cancel=${close} />`;
  return html`
    <section class="section" aria-labelledby="day-punches">
      <div class="section-head">
        <h3 id="day-punches" ref=${title} tabindex="-1">Punches</h3>
        ${rights.asks && editing?.action !== 'add' && html`<${Button} onClick=${() => setEditing({ action: 'add' })}>Add a punch<//>`}
      </div>
      ${rights.asks && html`<${Outcome} rights=${rights} />`}
      ${editing?.action === 'add' && form()}
      ${lines.length === 0 && html`<p class="soft">There are no punches on this day.</p>`}
      <ul class="entries">
        ${lines.map((line) => {
          const words = `“${KINDS[line.kind]}” at ${wallClock(wallTime(line.at, day.zone))}`;
          const open = editing?.line?.id === line.id;
          return html`
            <li key=${line.id} data-punch=${line.id} data-tone=${line.removed || line.punch?.doubt ? 'soft' : undefined}>
              <span class="entry-time"><${Clock} at=${wallTime(line.at, day.zone)} day=${day.day} /></span>
              <${Badge} tone=${TONES[line.kind]}>${KINDS[line.kind] ?? line.kind}<//>
              <${Origin} line=${line} day=${day} />
              ${
                rights.asks &&
                !line.removed &&
                !line.punch?.doubt &&
                !open &&
                html`<span class="actions">
                  <${Button} label=${`Move ${words}`} onClick=${() => setEditing({ action: 'move', line })}>Move<//>
                  <${Button} label=${`Remove ${words}`} onClick=${() => setEditing({ action: 'void', line })}>Remove<//>
                </span>`
              }
              ${open && form()}
            </li>
          `;
        })}
      </ul>
    </section>
  `;
}

/** How a punch was made, and what became of it. @param {{line: Line, day: Day}} props */
function Origin({ line: { punch, was, removed }, day }) {
  const reason = punch?.proof.kind === 'manual' && punch.proof.reason;
  const how = punch ? [PROOFS[punch.proof.kind], punch.origin.name, punch.site_name].filter(Boolean).join(', ') : 'Added by a correction';
  const notes = [
    reason && `Reason: ${reason}`,
    punch?.kind_reason && KIND_REASONS[punch.kind_reason],
    punch?.clock === 'device' && 'Made while the device was offline',
    punch?.doubt && (DOUBTS[punch.doubt] ?? punch.doubt),
    was && `Moved from ${wallClock(wallTime(was, day.zone))}`,
    removed && 'Removed by a correction: it does not count',
  ];
  return html`<span class="row-main"><span>${how}</span>${notes.filter(Boolean).map((note) => html`<span key=${note} class="row-note">${note}</span>`)}</span>`;
}

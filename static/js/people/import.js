// Importing people from a list: sends it, follows the job, and tells which rows were refused. The job
// is the server's: closing the dialog or the page loses nothing, whoever opens it next sees the newest.

import { Problem, explain, get, remove, request } from '../api.js';
import { closable } from '../ui/dialog.js';
import { byId, el, notice, plural } from '../ui/dom.js';
import { busy, clearErrors, onSubmit, sentence, showProblem } from '../ui/form.js';
import { toast } from '../ui/toast.js';

/**
 * @typedef {{id: string, kind: string, state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled', done: number, total: number,
 *   error: string | null, finished_at: string | null,
 *   result: null | {added: number, there: number, inactive: number, refused: number, refusals: {line: number, reason: string}[]}}} Job
 */

const ASKED_EVERY_MS = 400;
/** So long an import that has ended is told of again. */
const TOLD_FOR_MS = 3_600_000;

const dialog = /** @type {HTMLDialogElement} */ (closable(byId('import-dialog')));
const form = byId('import-form');
const place = byId('import-state');
const stop = byId('import-stop');
const send = byId('import-send');

/** The one that is followed. @type {string | null} */
let followed = null;

/**
 * Lets the button import a list; `imported` is called when a job has ended.
 * @param {() => Promise<void>} imported
 */
export function mountImport(imported) {
  byId('import').addEventListener('click', async () => {
    dialog.showModal();
    if (followed) return;
    try {
      const job = await newest();
      if (job && !followed) await follow(job, imported);
    } catch (error) {
      showProblem(form, error);
    }
  });

  onSubmit(form, async () => {
    place.replaceChildren();
    const [list] = byId('import-file').files;
    const job = await request('POST', '/api/imports', { body: list, headers: { 'Content-Type': 'text/csv' } });
    form.reset();
    await follow(job, imported);
  });

  stop.addEventListener('click', () =>
    busy(stop, async () => {
      try {
        if (followed) await remove(jobPath(followed));
      } catch (error) {
        // Whatever has ended meanwhile is told of in a moment.
        if (!(error instanceof Problem && error.status === 409)) showProblem(form, error);
      }
    }),
  );

  dialog.addEventListener('close', () => {
    // A job under way goes on, and says so when it has ended.
    clearErrors(form);
    if (followed) return;
    form.reset();
    place.replaceChildren();
  });
}

/** @param {string} id */
function jobPath(id) {
  return `/api/jobs/${encodeURIComponent(id)}`;
}

/** The newest import that runs, or has ended not long ago. */
async function newest() {
  const { items } = await get('/api/jobs', { query: { limit: '50' } });
  const [job] = items.filter((/** @type {Job} */ { kind }) => kind === 'import');
  const old = job?.finished_at && Date.now() - Date.parse(job.finished_at) > TOLD_FOR_MS;
  return job && !old ? job : null;
}

/** @param {Job} job */
function ended({ state }) {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/**
 * Shows how far a job is until it has ended, then what came of it.
 * @param {Job} job
 * @param {() => Promise<void>} imported
 */
async function follow(job, imported) {
  if (ended(job)) {
    tell(job);
    return;
  }
  followed = job.id;
  stop.hidden = false;
  try {
    job = await busy(send, () => awaited(job));
  } finally {
    followed = null;
    stop.hidden = true;
  }
  await imported();
  if (dialog.open) tell(job);
  else {
    place.replaceChildren();
    toast(job.state === 'done' ? `The import has ended: ${counts(job)}` : `The import was not finished: ${counts(job)}`);
  }
}

/**
 * @param {Job} job
 * @returns {Promise<Job>}
 */
async function awaited(job) {
  const bar = el('progress', { class: 'progress', max: Math.max(job.total, 1), value: 0, 'aria-label': 'People imported' });
  const words = el('p', { class: 'hint' });
  place.replaceChildren(el('div', { class: 'field' }, bar, words));
  let away = '';
  while (!ended(job)) {
    bar.setAttribute('value', String(job.done));
    // What failed in an attempt before is no news while another one is under way.
    const waits = away || (job.state === 'queued' && job.error ? `${job.error}; it goes on by itself` : '');
    words.textContent = [`${job.done} of ${plural(job.total, 'row')}`, waits && sentence(waits)].filter(Boolean).join('. ');
    await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
    try {
      job = await get(jobPath(job.id));
      away = '';
    } catch (error) {
      // A server that is away for a moment, or starts again, does not lose the job; one that refuses does.
      if (error instanceof Problem && error.status < 500 && error.status !== 429) throw error;
      away = explain(error);
    }
  }
  return job;
}

/** @param {Job} job */
function counts({ result }) {
  const { added = 0, there = 0, inactive = 0, refused = 0 } = result ?? {};
  return [
    `${added} added`,
    there > 0 && `${there} here already`,
    inactive > 0 && `${inactive} here, but inactive`,
    refused > 0 && `${refused} refused`,
  ]
    .filter(Boolean)
    .join(', ');
}

/** @param {Job} job */
function tell(job) {
  const { refused = 0, refusals = [] } = job.result ?? {};
  const rows = refusals.map(({ line, reason }) => el('li', { text: `Line ${line}: ${reason}` }));
  const more = refused - refusals.length;
  if (more > 0) rows.push(el('li', { text: `and ${plural(more, 'row')} more` }));
  let [kind, words] = [refused > 0 ? 'warn' : 'good', counts(job)];
  if (job.state === 'failed') [kind, words] = ['bad', `${job.error}. ${words} until then; send the list again`];
  if (job.state === 'cancelled') [kind, words] = ['warn', `The import was stopped: ${words} until then`];
  place.replaceChildren(
    notice(
      kind,
      el('p', { text: sentence(words) }),
      refused > 0 && el('ul', { class: 'refused', tabindex: 0, 'aria-label': 'Refused rows' }, ...rows),
    ),
  );
}

// Importing people from a list: sends it, follows the job, and tells which rows were refused.

import { explain, get, request } from '../api.js';
import { closable } from '../ui/dialog.js';
import { byId, el, notice, plural } from '../ui/dom.js';
import { clearErrors, onSubmit, sentence } from '../ui/form.js';
import { toast } from '../ui/toast.js';

/**
 * @typedef {{id: string, state: 'queued' | 'running' | 'done' | 'failed', done: number, total: number, error: string | null,
 *   result: null | {added: number, there: number, refused: number, refusals: {line: number, reason: string}[]}}} Job
 */

const ASKED_EVERY_MS = 400;

const dialog = /** @type {HTMLDialogElement} */ (closable(byId('import-dialog')));
const form = byId('import-form');
const place = byId('import-state');

/**
 * Lets the button import a list; `imported` is called when a job has ended.
 * @param {() => Promise<void>} imported
 */
export function mountImport(imported) {
  byId('import').addEventListener('click', () => dialog.showModal());

  onSubmit(form, async () => {
    place.replaceChildren();
    const [list] = byId('import-file').files;
    const queued = await request('POST', '/api/imports', { body: list, headers: { 'Content-Type': 'text/csv' } });
    const job = await followed(queued);
    await imported();
    if (dialog.open) tell(job);
    else toast(job.state === 'done' ? `The import has ended: ${counts(job)}` : 'The import failed');
  });

  dialog.addEventListener('close', () => {
    // A job under way goes on, and says so when it has ended.
    if (form.querySelector('[aria-busy]')) return;
    form.reset();
    clearErrors(form);
    place.replaceChildren();
  });
}

/**
 * Shows how far a job is until it has ended.
 * @param {Job} job
 * @returns {Promise<Job>}
 */
async function followed(job) {
  const bar = el('progress', { class: 'progress', max: Math.max(job.total, 1), value: 0, 'aria-label': 'People imported' });
  const words = el('p', { class: 'hint' });
  place.replaceChildren(el('div', { class: 'field' }, bar, words));
  while (job.state !== 'done' && job.state !== 'failed') {
    bar.setAttribute('value', String(job.done));
    const waits = job.error && `${sentence(job.error)}; it goes on by itself`;
    words.textContent = waits || `${job.done} of ${plural(job.total, 'row')}`;
    await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
    // A server that is away for a moment, or starts again, does not lose the job.
    job = await get(`/api/jobs/${encodeURIComponent(job.id)}`).catch((error) => ({ ...job, error: explain(error) }));
  }
  return job;
}

/** @param {Job} job */
function counts({ result }) {
  const { added, there, refused } = result ?? { added: 0, there: 0, refused: 0 };
  return [`${added} added`, there > 0 && `${there} here already`, refused > 0 && `${refused} refused`].filter(Boolean).join(', ');
}

/** @param {Job} job */
function tell(job) {
  const { refused = 0, refusals = [] } = job.result ?? {};
  if (job.state === 'failed') {
    place.replaceChildren(notice('bad', sentence(`${job.error}. ${counts(job)} until then; send the list again`)));
    return;
  }
  const rows = refusals.map(({ line, reason }) => el('li', { text: `Line ${line}: ${reason}` }));
  const more = refused - refusals.length;
  if (more > 0) rows.push(el('li', { text: `and ${plural(more, 'row')} more` }));
  place.replaceChildren(
    notice(
      refused > 0 ? 'warn' : 'good',
      el('p', { text: sentence(counts(job)) }),
      refused > 0 && el('ul', { class: 'refused', tabindex: 0, 'aria-label': 'Refused rows' }, ...rows),
    ),
  );
  form.reset();
}

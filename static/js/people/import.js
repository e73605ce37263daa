// Imports people from a list: sends it, follows the job, and shows which rows were refused. The job runs on the
// server: closing the dialog or the page loses nothing, and the next visitor sees the newest import.

import { Problem, get, remove, request } from '../api.js';
import { closable } from '../ui/dialog.js';
import { byId, el, notice, plural } from '../ui/dom.js';
import { busy, clearErrors, onSubmit, sentence, showProblem } from '../ui/form.js';
import { toast } from '../ui/toast.js';
import { awaited, ended, jobPath, progress, refusedList } from './job.js';

/**
 * @typedef {ApiSchema<'JobView'>} Job
 * @typedef {{added?: number, existing?: number, inactive?: number, refused?: number, refusals?: {line: number, reason: string}[]}} Result
 */

/** An import that ended is shown again for this long. */
const TOLD_FOR_MS = 3_600_000;

const dialog = closable(byId('import-dialog'));
const form = byId('import-form');
const place = byId('import-state');
const stop = byId('import-stop');
const send = byId('import-send');

/** The ID of the job that the dialog follows. @type {string | null} */
let followed = null;

/**
 * Connects the button to the import dialog. Calls `imported` when a job has ended.
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
    const list = byId('import-file').files?.[0];
    const job = await request('POST', '/api/imports', { body: list, headers: { 'Content-Type': 'text/csv' } });
    form.reset();
    await follow(job, imported);
  });

  stop.addEventListener('click', () =>
    busy(stop, async () => {
      try {
        if (followed) await remove(jobPath(followed));
      } catch (error) {
        // If the job has just ended, its result follows in a moment.
        if (!(error instanceof Problem && error.status === 409)) showProblem(form, error);
      }
    }),
  );

  dialog.addEventListener('close', () => {
    // A running job continues and reports its end.
    clearErrors(form);
    if (followed) return;
    form.reset();
    place.replaceChildren();
  });
}

/** Returns the newest import that runs or ended recently. */
async function newest() {
  const { items } = await get('/api/jobs', { query: { limit: '50' } });
  const [job] = items.filter(({ kind }) => kind === 'import');
  const old = job?.finished_at && Date.now() - Date.parse(job.finished_at) > TOLD_FOR_MS;
  return job && !old ? job : null;
}

/**
 * Shows the progress of a job until it ends, then its result.
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
    const bar = progress('People imported');
    place.replaceChildren(bar.node);
    job = await busy(send, () => awaited(job, ({ done, total }, waits) => bar.show(done, total, `${done} of ${plural(total, 'row')}`, waits)));
  } finally {
    followed = null;
    stop.hidden = true;
  }
  await imported();
  if (dialog.open) tell(job);
  else {
    place.replaceChildren();
    toast(job.state === 'done' ? `Import finished: ${counts(job)}` : `Import not finished: ${counts(job)}`);
  }
}

/**
 * Returns the result of an import so far.
 * @param {Job} job
 * @returns {Result}
 */
function resultOf(job) {
  return /** @type {Result | null | undefined} */ (job.result) ?? {};
}

/** @param {Job} job */
function counts(job) {
  const { added = 0, existing = 0, inactive = 0, refused = 0 } = resultOf(job);
  return [
    `${added} added`,
    existing > 0 && `${existing} already exist`,
    inactive > 0 && `${inactive} already exist but are inactive`,
    refused > 0 && `${refused} refused`,
  ]
    .filter(Boolean)
    .join(', ');
}

/** @param {Job} job */
function tell(job) {
  const { refused = 0, refusals = [] } = resultOf(job);
  let [kind, words] = [refused > 0 ? 'warn' : 'good', counts(job)];
  if (job.state === 'failed') [kind, words] = ['bad', `${job.error}. ${words} before that; send the list again`];
  if (job.state === 'cancelled') [kind, words] = ['warn', `The import was stopped: ${words} before that`];
  place.replaceChildren(
    notice(
      kind,
      el('p', { text: sentence(words) }),
      refusedList('Refused rows', refusals.map(({ line, reason }) => `Line ${line}: ${reason}`), refused, 'row'),
    ),
  );
}

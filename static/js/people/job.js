// Background jobs in dialogs: their progress until they end, and what was refused.

import { explain, get, isTemporary } from '../api.js';
import { el, plural } from '../ui/dom.js';
import { sentence } from '../ui/form.js';

/** @typedef {ApiSchema<'JobView'>} Job */

const ASKED_EVERY_MS = 400;

/**
 * @param {string} id
 * @returns {`/api/jobs/${string}`}
 */
export function jobPath(id) {
  return `/api/jobs/${encodeURIComponent(id)}`;
}

/** @param {Job} job */
export function ended({ state }) {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/**
 * Waits until a job has ended, and shows its progress.
 * @param {Job} job
 * @param {(job: Job, waits: string) => void} show what the job waits for is a sentence, or empty
 * @returns {Promise<Job>}
 */
export async function awaited(job, show) {
  let away = '';
  while (!ended(job)) {
    // The error of an earlier attempt does not matter while another attempt runs.
    const waits = away || (job.state === 'queued' && job.error ? `${job.error}; Rollcall retries automatically` : '');
    show(job, waits && sentence(waits));
    await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
    try {
      job = await get(jobPath(job.id));
      away = '';
    } catch (error) {
      // A server that is briefly unavailable or restarts keeps the job; one that refuses has lost it.
      if (!isTemporary(error)) throw error;
      away = explain(error);
    }
  }
  return job;
}

/**
 * Returns a progress bar with words below it, and what updates both.
 * @param {string} label
 */
export function progress(label) {
  const bar = el('progress', { class: 'progress', max: 1, value: 0, 'aria-label': label });
  const words = el('p', { class: 'hint' });
  /** @param {number} done @param {number} total @param {(string | false | undefined)[]} sentences */
  const show = (done, total, ...sentences) => {
    bar.setAttribute('max', String(Math.max(total, 1)));
    bar.setAttribute('value', String(done));
    words.textContent = sentences.filter(Boolean).join('. ');
  };
  return { node: el('div', { class: 'field' }, bar, words), show };
}

/**
 * Returns the list of what was refused; nothing if there was nothing.
 * @param {string} label
 * @param {string[]} first
 * @param {number} all how many there are
 * @param {string} one the word for one of them
 */
export function refusedList(label, first, all, one) {
  if (all === 0) return null;
  const more = all - first.length;
  const rows = [...first, ...(more > 0 ? [`and ${plural(more, one)} more`] : [])].map((text) => el('li', { text }));
  return el('ul', { class: 'refused', tabindex: 0, 'aria-label': label }, ...rows);
}

// Enrolls photos of many people: sends them in parts, each of which is a job, and shows what was refused.

import { Problem, Unreachable, explain, get, isTemporary, request } from '../api.js';
import { smaller } from '../ui/camera.js';
import { closable } from '../ui/dialog.js';
import { byId, notice, plural } from '../ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from '../ui/form.js';
import { toast } from '../ui/toast.js';
import { awaited, progress, refusedList } from './job.js';

/** @typedef {ApiSchema<'JobView'>} Job */
/** @typedef {{name: string, who: string, file: File}} Photo */
/** @typedef {{enrolled: number, existing: number, photos: number, refused: number, refusals: {file: string, reason: string}[]}} Result */

/** The server accepts this many photos in one request. */
const MOST_PHOTOS = 60;
/** It accepts 10 MiB in one request, of which this is left for the photos. */
const MOST_BYTES = 10_000_000;
/** Larger files are reduced before they are sent, bytes. */
const LARGE_FILE = 700_000;
/** The pause before photos are sent again while many jobs wait, milliseconds. */
const PAUSE_MS = 2000;
/** How often photos are sent at which the service itself fails. */
const MOST_TRIES = 5;

/** What people should know until all photos are sent. */
const KEEP_OPEN = 'Closing this dialog does not stop it, but leaving or reloading the page does';

const dialog = closable(byId('photos-dialog'));
const form = byId('photos-form');
const place = byId('photos-state');
const send = byId('photos-send');
const files = byId('photos-files');
const folder = byId('photos-folder');
const consentText = byId('photos-consent-text');

let sending = false;

/**
 * Connects the button to the dialog. Calls `enrolled` when photos were enrolled.
 * @param {() => Promise<void>} enrolled
 */
export function mountPhotos(enrolled) {
  byId('enroll-many').addEventListener('click', async () => {
    dialog.showModal();
    try {
      await showConsent();
    } catch (error) {
      say('bad', `the consent text could not be loaded: ${explain(error)}`);
    }
  });

  onSubmit(form, async () => {
    // Nobody agrees to a text that is not there.
    if (consentText.textContent === '') {
      await showConsent();
      return say('warn', 'read the consent text, then choose Enroll again');
    }
    const photos = chosen();
    if (photos.length === 0) return say('bad', 'choose a folder, or photos');
    sending = true;
    try {
      const result = await busy(send, () => enrollAll(photos));
      form.reset();
      await enrolled();
      tell(result);
    } finally {
      sending = false;
    }
  });

  dialog.addEventListener('close', () => {
    clearErrors(form);
    if (sending) return;
    form.reset();
    place.replaceChildren();
  });
  addEventListener('beforeunload', (event) => {
    if (sending) event.preventDefault();
  });
}

/** Shows the text to which people agree, unless it is there. */
async function showConsent() {
  if (consentText.textContent === '') consentText.textContent = (await get('/api/consent')).text;
}

/**
 * Returns the chosen photos, those of one person one after the other.
 * @returns {Photo[]}
 */
function chosen() {
  const photos = [...(folder.files ?? []), ...(files.files ?? [])]
    .filter(({ name }) => /\.(jpe?g|png|webp)$/iu.test(name))
    .map((file) => {
      // The folder that was chosen is no one's; the folders in it are.
      const name = file.webkitRelativePath.split('/').slice(1).slice(-2).join('/') || file.name;
      return { name, who: name.includes('/') ? name.split('/')[0] : name.replace(/(?:[-_ ]\(?\d+\)?|\(\d+\))?\.\w+$/u, ''), file };
    });
  return photos.sort((a, b) => a.who.localeCompare(b.who) || a.name.localeCompare(b.name));
}

/**
 * Sends all photos and waits until they are enrolled.
 * @param {Photo[]} photos
 * @returns {Promise<Result>}
 */
async function enrollAll(photos) {
  const bar = progress('Photos');
  place.replaceChildren(bar.node);
  place.scrollIntoView({ block: 'nearest' });
  /** @type {Result} */
  const sum = { enrolled: 0, existing: 0, photos: 0, refused: 0, refusals: [] };
  const jobs = [];
  let sent = 0;
  const prepared = (/** @type {number} */ count) => bar.show(sent, photos.length * 2, `Preparing ${count} of ${plural(photos.length, 'photo')}`, KEEP_OPEN);
  for await (const part of parts(photos, prepared)) {
    const show = (/** @type {string} */ waits) => bar.show(sent, photos.length * 2, `${sent} of ${plural(photos.length, 'photo')} sent`, waits || KEEP_OPEN);
    show('');
    try {
      jobs.push(await queued(part, show));
    } catch (error) {
      // These are not enrolled, but others can be.
      if (!isTemporary(error)) throw error;
      sum.refused += part.length;
      sum.refusals.push(...part.map(({ name }) => ({ file: name, reason: `could not be sent: ${explain(error)}` })));
    }
    sent += part.length;
  }
  for (const queuedJob of jobs) {
    const show = (/** @type {Job} */ job, /** @type {string} */ waits) => {
      const looked = sum.photos + sum.refused;
      bar.show(sent + looked, photos.length * 2, `All photos are sent: you can leave this page. ${plural(sum.enrolled + resultOf(job).enrolled, 'person', 'people')} enrolled so far`, waits);
    };
    const job = await awaited(queuedJob, show);
    const part = resultOf(job);
    sum.enrolled += part.enrolled;
    sum.existing += part.existing;
    sum.photos += part.photos;
    sum.refused += part.refused;
    sum.refusals.push(...part.refusals);
    if (job.state !== 'done') sum.refusals.push({ file: 'Not finished', reason: job.error ?? 'the job was stopped; send the photos again' });
  }
  return sum;
}

/**
 * Returns the photos in parts that one request takes, reduced. The photos of one person stay together if they fit.
 * @param {Photo[]} photos
 * @param {(count: number) => void} prepared gets the number of the photo that is reduced
 */
async function* parts(photos, prepared) {
  /** @type {{name: string, blob: Blob}[]} */
  let part = [];
  let bytes = 0;
  let count = 0;
  for (const who of new Set(photos.map((photo) => photo.who))) {
    const own = [];
    for (const { name, file } of photos.filter((photo) => photo.who === who)) {
      prepared(++count);
      own.push({ name, blob: await smaller(file, LARGE_FILE) });
    }
    const whole = own.length <= MOST_PHOTOS && sizeOf(own) <= MOST_BYTES;
    for (const group of whole ? [own] : own.map((one) => [one])) {
      const size = sizeOf(group);
      if (part.length > 0 && (part.length + group.length > MOST_PHOTOS || bytes + size > MOST_BYTES)) {
        yield part;
        [part, bytes] = [[], 0];
      }
      part.push(...group);
      bytes += size;
    }
  }
  if (part.length > 0) yield part;
}

/** @param {{blob: Blob}[]} photos */
const sizeOf = (photos) => photos.reduce((sum, { blob }) => sum + blob.size, 0);

/**
 * Sends photos, and waits while too many jobs have not ended or the service is unavailable.
 * @param {{name: string, blob: Blob}[]} part
 * @param {(waits: string) => void} show
 * @returns {Promise<Job>}
 * @throws {Problem} if the service refuses them, or fails at them each time
 */
async function queued(part, show) {
  const body = new FormData();
  body.append('consent', 'true');
  for (const { name, blob } of part) body.append('photo', blob, name);
  for (let failed = 0; ; ) {
    try {
      return await request('POST', '/api/enrollments', { body, timeout: 120_000 });
    } catch (error) {
      // People whose photos have arrived after all are enrolled already, and counted as such.
      if (!isTemporary(error)) throw error;
      if (error instanceof Problem && error.status === 500 && ++failed === MOST_TRIES) throw error;
      const full = error instanceof Problem && error.status === 429;
      show(full ? 'Waiting for earlier photos to be enrolled. Stay on this page' : `${error instanceof Unreachable ? 'The service does not respond' : sentence(explain(error))}. Rollcall tries again: stay on this page`);
      await new Promise((resolve) => setTimeout(resolve, (error instanceof Problem && (error.retryAfter ?? 0) * 1000) || PAUSE_MS));
    }
  }
}

/**
 * Returns the result of a job so far.
 * @param {Job} job
 * @returns {Result}
 */
function resultOf(job) {
  return { enrolled: 0, existing: 0, photos: 0, refused: 0, refusals: [], .../** @type {object} */ (job.result) };
}

/** @param {Result} result */
function tell({ enrolled, existing, photos, refused, refusals }) {
  const words = [
    `${plural(enrolled, 'person', 'people')} enrolled with ${plural(photos, 'photo')}`,
    existing > 0 && `${plural(existing, 'person was', 'people were')} enrolled already`,
    refused > 0 && `${plural(refused, 'photo was', 'photos were')} refused`,
  ];
  const text = words.filter(Boolean).join(', ');
  if (!dialog.open) return toast(text);
  const list = refusedList('Refused photos', refusals.map(({ file, reason }) => `${file}: ${reason}`), refusals.length, 'photo');
  say(refusals.length > 0 ? 'warn' : 'good', text, list);
}

/**
 * @param {string} kind
 * @param {string} words
 * @param {HTMLElement | null} [more]
 */
function say(kind, words, more = null) {
  place.replaceChildren(notice(kind, sentence(words), more));
  place.scrollIntoView({ block: 'nearest' });
}

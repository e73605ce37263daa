// Reads badges: from scanners that act as a keyboard, and QR codes from the kiosk's camera.

import { sleep } from './eyes.js';
import { LINGER_MS } from './presence.js';

/** What a badge contains. */
const DIGITS = 30;
const BADGE = /^\d{30}$/u;
/** A scanner types a badge within this time; nobody types 30 digits so fast. */
const SCAN_MS = 4000;
/** A scanner never pauses this long. */
const PAUSE_MS = 500;
/** A scanner may read a badge twice in a row. */
const BOUNCE_MS = 5000;
/** Time between two looks for a QR code. */
const LOOK_MS = 250;
/** The longer side of a picture in which to look for a QR code, pixels. */
const SIDE = 640;
/** A code that is far away has enough pixels only in the picture's middle at full size; looks take turns. */
let middle = false;
/** Time until the reader of QR codes is loaded again after that failed. */
const AGAIN_MS = 30_000;

/** When badges were last shown. @type {Map<string, number>} */
const shown = new Map();

/**
 * Returns whether a badge was not shown just before, so that showing it once punches once. A badge that hangs where the
 * camera sees it is shown as long as its holder stays.
 * @param {string} code
 * @param {number} apart milliseconds
 */
function isNew(code, apart) {
  const now = Date.now();
  for (const [other, at] of shown) if (now - at > LINGER_MS) shown.delete(other);
  const again = now - (shown.get(code) ?? 0) < apart;
  shown.set(code, now);
  return !again;
}

/** Records that a badge is shown now, so that it does not punch at once. @param {string} code */
export const keepShown = (code) => shown.set(code, Date.now());

/** @typedef {(code: string) => Promise<boolean>} Found returns whether the person has an answer */

/**
 * Calls `found` if the badge was not shown just before. Without an answer, the person can show it again at once.
 * @param {string} code
 * @param {number} apart milliseconds
 * @param {Found} found
 */
async function show(code, apart, found) {
  if (isNew(code, apart) && !(await found(code))) shown.delete(code);
}

/* Scanners */

/**
 * Calls `found` for each badge that a scanner types, wherever the focus is.
 * @param {Found} found
 */
export function watchScanners(found) {
  let text = '';
  let since = 0;
  let before = 0;
  /** Until when the key that a scanner types after a badge is ignored. */
  let ends = 0;
  /** @param {KeyboardEvent} event */
  const read = (event) => {
    const now = event.timeStamp;
    if ((event.key === 'Enter' || event.key === 'Tab') && now < ends) {
      // It must not press a button.
      event.preventDefault();
      event.stopImmediatePropagation();
      ends = 0;
      return;
    }
    // By the place of the key, because scanners type as if the layout were American.
    const digit = /^(?:Digit|Numpad)(\d)$/u.exec(event.code)?.[1];
    if (digit === undefined) {
      if (event.key !== 'Shift') text = '';
      return;
    }
    if (text === '' || now - before > PAUSE_MS) {
      text = '';
      since = now;
    }
    before = now;
    text = (text + digit).slice(-DIGITS);
    if (text.length < DIGITS) return;
    if (now - since > SCAN_MS) return;
    const code = text;
    text = '';
    ends = now + PAUSE_MS;
    show(code, BOUNCE_MS, found);
  };
  document.addEventListener('keydown', read, { capture: true });
}

/* The camera */

const canvas = document.createElement('canvas');

/** @param {HTMLVideoElement} video */
function picture(video) {
  const { videoWidth: width, videoHeight: height } = video;
  middle = !middle;
  const scale = middle ? 1 : Math.min(1, SIDE / Math.max(width, height));
  const [wide, high] = [Math.min(SIDE / scale, width), Math.min(SIDE / scale, height)];
  canvas.width = Math.round(wide * scale);
  canvas.height = Math.round(high * scale);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  context.drawImage(video, (width - wide) / 2, (height - high) / 2, wide, high, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** @typedef {(video: HTMLVideoElement) => Promise<string[]>} Reader returns the texts of QR codes */

/** Returns the reader of this browser, if it has one. @returns {Promise<Reader | null>} */
async function ownReader() {
  const Detector = /** @type {any} */ (globalThis).BarcodeDetector;
  const formats = /** @type {string[]} */ ((await Detector?.getSupportedFormats()) ?? []);
  if (!formats.includes('qr_code')) return null;
  const detector = new Detector({ formats: ['qr_code'] });
  return async (video) => (await detector.detect(video)).map((/** @type {{rawValue: string}} */ { rawValue }) => rawValue);
}

/** Returns a reader in another thread, so that the page stays smooth. @returns {Promise<Reader>} */
function workingReader() {
  const worker = new Worker('/static/js/kiosk/qr-reader.js', { type: 'module' });
  /** @returns {Promise<string[]>} */
  const answer = () =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error('the reader of QR codes does not start'));
      };
    });
  const read = (/** @type {HTMLVideoElement} */ video) => {
    const { data, width, height } = picture(video);
    worker.postMessage({ data, width, height }, [data.buffer]);
    return answer();
  };
  // The first message says that it has started.
  return answer().then(() => read);
}

/** @type {Promise<Reader | null> | null} */
let loading = null;

/** Loads the reader of QR codes, so that it is there if the service goes away. */
export function loadReader() {
  loading ??= ownReader()
    .then((own) => own ?? workingReader())
    .catch(() => {
      // The service is away: tried again later.
      loading = null;
      return null;
    });
  return loading;
}

/**
 * Calls `found` for each badge that the camera sees.
 * @param {HTMLVideoElement} video
 * @param {() => boolean} worthIt whether something is in view
 * @param {Found} found
 */
export async function watchCamera(video, worthIt, found) {
  for (;;) {
    await sleep(LOOK_MS);
    if (!worthIt()) continue;
    const read = await loadReader();
    if (!read) await sleep(AGAIN_MS);
    const texts = await read?.(video).catch(() => []);
    const code = texts?.find((text) => BADGE.test(text));
    // A person may have begun to type meanwhile.
    if (code && worthIt()) show(code, LINGER_MS, found);
  }
}

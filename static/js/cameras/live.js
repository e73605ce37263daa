// `<rollcall-live>`: the live picture of a camera with boxes and names over the faces in it. Works while it is on
// the page and the page is looked at; comes back by itself.

import { Unreachable, explain, get } from '../api.js';
import { el, notice } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { followPictures } from './stream.js';

const FACES_MS = 400;
/** Boxes go when nobody looked at the camera for so long. */
const FACES_LAST_MS = 3000;
const AGAIN_MS = 2500;
/** Under so much of the picture's height over it, a name stands below its box. */
const NAME_ROOM = 0.08;

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Box
 * @typedef {{box: Box, known: boolean, employee?: {id: string, name: string}}} Face
 * @typedef {{at: string | null, width: number, height: number, faces: Face[]}} Faces
 */

class RollcallLive extends HTMLElement {
  /** The camera's id. */
  camera = '';
  /** What the picture is of, for those who do not see it. */
  label = '';
  /** How often the camera is looked at, milliseconds. */
  every = 0;

  #image = /** @type {HTMLImageElement} */ (el('img', { hidden: true }));
  #boxes = el('div', {});
  #words = el('div', { class: 'words' });
  #waiting = el('p', { class: 'waiting', text: 'Waiting for a picture' });
  /** @type {AbortController | null} */
  #running = null;
  #look = () => this.#adapt();

  connectedCallback() {
    this.className = 'picture';
    this.#image.alt = this.label;
    this.replaceChildren(this.#image, this.#boxes, this.#waiting, this.#words);
    document.addEventListener('visibilitychange', this.#look);
    this.#adapt();
  }

  disconnectedCallback() {
    document.removeEventListener('visibilitychange', this.#look);
    this.#adapt();
    URL.revokeObjectURL(this.#image.src);
  }

  /** Runs when somebody can see it, and only then. */
  #adapt() {
    const wanted = this.isConnected && !document.hidden;
    if (!wanted) {
      this.#running?.abort();
      this.#running = null;
    } else if (!this.#running) {
      this.#running = new AbortController();
      this.#keep(this.#running.signal, AGAIN_MS, (signal) => this.#follow(signal));
      this.#keep(this.#running.signal, FACES_MS, (signal) => this.#askFaces(signal));
    }
  }

  /**
   * Does something again and again, with a pause, until it is told to stop.
   * @param {AbortSignal} signal
   * @param {number} pause
   * @param {(signal: AbortSignal) => Promise<void>} work
   */
  async #keep(signal, pause, work) {
    while (!signal.aborted) {
      await work(signal);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    try {
      await followPictures(`/api/cameras/${encodeURIComponent(this.camera)}/live`, signal, (picture) => this.#show(picture));
    } catch (error) {
      if (signal.aborted) return;
      const words = explain(error instanceof TypeError ? new Unreachable() : error);
      this.#waiting.hidden = true;
      this.#words.replaceChildren(notice('bad', sentence(words)));
    }
  }

  /** @param {Blob} picture */
  async #show(picture) {
    const before = this.#image.src;
    this.#image.src = URL.createObjectURL(picture);
    // A picture that is no picture is left out; the next one comes.
    await this.#image.decode().catch(() => {});
    if (before) URL.revokeObjectURL(before);
    this.#image.hidden = false;
    this.#waiting.hidden = true;
    this.#words.replaceChildren();
  }

  #seen = { at: /** @type {string | null} */ (null), since: 0 };

  /** @param {AbortSignal} signal */
  async #askFaces(signal) {
    try {
      const faces = await get(`/api/cameras/${encodeURIComponent(this.camera)}/faces`, { signal });
      if (faces.at !== this.#seen.at) this.#seen = { at: faces.at, since: Date.now() };
      const old = Date.now() - this.#seen.since > Math.max(FACES_LAST_MS, 2 * this.every);
      this.#boxes.replaceChildren(...(old || this.#image.hidden ? [] : boxes(faces)));
    } catch {
      // The picture says what is wrong.
      this.#boxes.replaceChildren();
    }
  }
}

/** @param {Faces} faces */
function boxes({ width, height, faces }) {
  return faces.map(({ box, known, employee }) => {
    const low = box.y < height * NAME_ROOM;
    const frame = el('div', { class: ['seen', known && 'known', low && 'low'].filter(Boolean).join(' ') }, employee && el('span', { text: employee.name }));
    frame.style.left = `${(100 * box.x) / width}%`;
    frame.style.top = `${(100 * box.y) / height}%`;
    frame.style.width = `${(100 * box.width) / width}%`;
    frame.style.height = `${(100 * box.height) / height}%`;
    return frame;
  });
}

customElements.define('rollcall-live', RollcallLive);

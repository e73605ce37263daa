// `<rollcall-live>`: the live picture of a camera with boxes and names over the faces. Runs while it is on a visible
// page, and reconnects automatically.

import { Unreachable, explain, get } from '../api.js';
import { el, notice } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { followPictures } from './stream.js';

const FACES_MS = 400;
/** Boxes disappear if no picture was analyzed for this long. */
const FACES_LAST_MS = 3000;
const AGAIN_MS = 2500;
/** If the space above a box is less than this share of the picture's height, the name goes below the box. */
const NAME_ROOM = 0.08;


class RollcallLive extends HTMLElement {
  /** The camera's id. */
  camera = '';
  /** Describes the picture to screen readers. */
  label = '';
  /** Time between two analyzed pictures, milliseconds. */
  every = 0;

  #image = el('img', { hidden: true });
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

  /** Runs only while the picture is visible. */
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
   * Repeats `work` with a pause until the signal stops it.
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
    // Skips a picture that cannot be decoded; the next one follows.
    await this.#image.decode().catch(() => {});
    if (before) URL.revokeObjectURL(before);
    this.#image.hidden = false;
    this.#waiting.hidden = true;
    this.#words.replaceChildren();
  }

  #seen = { at: /** @type {string | null | undefined} */ (null), since: 0 };

  /** @param {AbortSignal} signal */
  async #askFaces(signal) {
    try {
      const faces = await get(`/api/cameras/${encodeURIComponent(this.camera)}/faces`, { signal });
      if (faces.at !== this.#seen.at) this.#seen = { at: faces.at, since: Date.now() };
      const old = Date.now() - this.#seen.since > Math.max(FACES_LAST_MS, 2 * this.every);
      this.#boxes.replaceChildren(...(old || this.#image.hidden ? [] : boxes(faces)));
    } catch {
      // the picture shows the error
      this.#boxes.replaceChildren();
    }
  }
}

/** @param {ApiSchema<'FacesView'>} faces */
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

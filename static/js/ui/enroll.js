// `<rollcall-enroll>`: takes photos of one person from the camera or from files, sends them with the consent, and
// shows a verdict beside each photo. Fires `enrolled` when templates were created, and `refused` with the error.

import { Problem, explain, get, request } from '../api.js';
import { CameraError, closeCamera, grabFrame, openCamera, smaller } from './camera.js';
import { ask } from './dialog.js';
import { el, icon, notice, plural } from './dom.js';
import { busy, sentence } from './form.js';

/** The server accepts this many photos in one enrollment. */
const MOST_PHOTOS = 10;
/** The longer side of a captured photo, pixels. */
const CAPTURE_SIDE = 1280;
/** Larger files are reduced before they are sent, bytes. */
const LARGE_FILE = 3_000_000;
const JPEG_QUALITY = 0.92;

/** Different photos make a better template than equal ones, hence the poses. */
const POSES = [
  'Look straight into the camera',
  'Turn your head a little to the left',
  'Turn your head a little to the right',
];
/** With fewer photos than this, a hint asks for more. */
const GOOD_COUNT = 3;
const EXTRA_POSE = 'One more, if you like: with another expression';

/** Replaces server messages meant for a person in front of a camera. @type {Record<string, string>} */
const IN_A_PHOTO = { no_face: 'no face found: choose a photo with the face from the front, large enough' };

/**
 * @typedef {object} Shot
 * @property {Blob} blob
 * @property {string} name
 * @property {HTMLElement} node
 * @property {boolean} refused whether the server refused it
 */

class RollcallEnroll extends HTMLElement {
  /** The person to enroll. */
  person = { id: '', name: '' };
  /**
   * How people enroll their own face without an account: what they agree to, where the photos are sent, and with which
   * fields. Without it, an account enrolls another person.
   * @type {{consent: string, path: '/api/invitations/enroll', fields: Record<string, string>} | undefined}
   */
  own;
  /** Whether this account can enroll a face that another person already has. */
  mayOverride = false;
  /** @type {Shot[]} */
  #shots = [];
  /** @type {MediaStream | null} */
  #stream = null;
  #captured = 0;
  /** Whether the photos in the tray have verdicts; the next photo then starts a new tray. */
  #judged = false;

  constructor() {
    super();
    this.picker = el('input', { type: 'file', accept: 'image/jpeg,image/png,image/webp', multiple: true, class: 'visually-hidden', tabindex: '-1', 'aria-label': 'Photos' });
    this.picker.addEventListener('change', () => {
      this.#addFiles([...(this.picker.files ?? [])]);
      this.picker.value = '';
    });
    this.cameraSource = source('camera', 'Use the camera', 'Three photos, guided', () => this.#startCamera());
    this.fileSource = source('image', 'Choose photos', `or drop them here, up to ${MOST_PHOTOS}`, () => this.picker.click());
    this.sources = el('div', { class: 'sources' }, this.cameraSource, this.fileSource, this.picker);
    this.#acceptDrops(this.fileSource);

    this.video = el('video', { muted: true, playsinline: true, 'aria-label': 'What the camera sees, mirrored' });
    this.video.muted = true;
    this.coach = el('p', { class: 'coach', role: 'status' });
    this.shutter = el('button', { class: 'button primary', type: 'button', onclick: () => this.#capture() }, icon('camera'), 'Take the photo');
    this.studio = el(
      'div',
      { class: 'section', hidden: true },
      el('div', { class: 'viewfinder' }, this.video, this.coach),
      el('div', { class: 'actions' }, this.shutter, el('button', { class: 'button', type: 'button', text: 'Close the camera', onclick: () => this.#stopCamera() })),
    );

    this.message = el('div', {});
    this.tray = el('ul', { class: 'tray', 'aria-label': 'Photos' });
    this.consent = el('input', { type: 'checkbox', name: 'consent', disabled: true });
    this.agreement = el('strong');
    this.consentText = el('span', { class: 'consent-text' });
    this.consent.addEventListener('change', () => this.#update());
    this.button = el('button', { class: 'button primary', type: 'button', onclick: () => this.#send(false) }, 'Enroll');
    this.hint = el('p', { class: 'hint', text: 'Three to five different photos work best.' });
    this.consentLabel = el('label', { class: 'check consent' }, this.consent, el('span', {}, this.agreement, this.consentText));
    this.finish = el('div', { class: 'section' }, this.hint, el('div', { class: 'actions' }, this.button));
  }

  connectedCallback() {
    this.agreement.textContent = this.own ? 'I agree' : `${this.person.name} agrees`;
    // People read and agree before they take photos of themselves; others state the consent at the end.
    if (!this.own) this.hint.after(this.consentLabel);
    this.replaceChildren(...(this.own ? [this.consentLabel] : []), this.sources, this.studio, this.message, this.tray, this.finish);
    this.#update();
    this.#askConsentText();
  }

  disconnectedCallback() {
    this.#stopCamera();
    this.#clearTray();
  }

  /** Loads the consent text from the server; until then the checkbox is disabled. */
  async #askConsentText() {
    if (this.own) {
      this.consentText.textContent = this.own.consent;
      this.consent.disabled = false;
      return this.#update();
    }
    try {
      const { text, version } = await get('/api/consent');
      this.consentText.textContent = text;
      this.consentText.title = `Version ${version}`;
      this.consent.disabled = false;
    } catch (error) {
      this.consentText.textContent = sentence(explain(error));
    }
    this.#update();
  }

  /** The photos to send. */
  get #usable() {
    return this.#shots.filter((shot) => !shot.refused);
  }

  #update() {
    const fresh = this.#shots.length > 0 && !this.#judged;
    this.finish.hidden = !fresh;
    this.tray.classList.toggle('judged', this.#judged);
    const usable = this.#usable.length;
    this.button.disabled = !this.consent.checked || usable === 0;
    const verb = this.own ? 'Send' : 'Enroll with';
    this.button.textContent = usable === 0 ? 'Enroll' : `${verb} ${plural(usable, 'photo')}`;
    this.hint.hidden = usable >= GOOD_COUNT;
    this.sources.hidden = this.#stream !== null || (this.own !== undefined && !this.consent.checked);
    this.shutter.disabled = this.#stream === null;
    if (this.#stream) this.coach.textContent = POSES[this.#captured] ?? EXTRA_POSE;
  }

  /* Where photos come from */

  /** @param {HTMLElement} zone */
  #acceptDrops(zone) {
    const over = (/** @type {boolean} */ on) => (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      zone.classList.toggle('over', on);
    };
    zone.addEventListener('dragenter', over(true));
    zone.addEventListener('dragover', over(true));
    zone.addEventListener('dragleave', over(false));
    zone.addEventListener('drop', (event) => {
      over(false)(event);
      this.#addFiles([...(event.dataTransfer?.files ?? [])]);
    });
  }

  /** @param {File[]} files */
  async #addFiles(files) {
    this.message.replaceChildren();
    for (const file of files) {
      if (!this.#add(await smaller(file, LARGE_FILE), file.name)) break;
    }
  }

  async #startCamera() {
    this.message.replaceChildren();
    this.studio.hidden = false;
    this.#captured = 0;
    try {
      this.#stream = await openCamera(this.video);
      // The user may have closed the sheet while the browser asked for permission.
      if (!this.isConnected) return this.#stopCamera();
      this.#update();
      this.shutter.focus();
    } catch (error) {
      this.#stopCamera();
      const words = error instanceof CameraError ? `${error.title}. ${error.message}` : sentence(explain(error));
      this.message.replaceChildren(notice('bad', words));
    }
  }

  #stopCamera() {
    closeCamera(this.#stream);
    this.#stream = null;
    this.video.srcObject = null;
    this.studio.hidden = true;
    if (this.isConnected) this.#update();
  }

  async #capture() {
    const blob = await busy(this.shutter, () => grabFrame(this.video, CAPTURE_SIDE, JPEG_QUALITY));
    const name = ['From the front', 'Turned left', 'Turned right'][this.#captured] ?? 'One more';
    if (!this.#add(blob, name)) return;
    this.#captured += 1;
    this.#update();
  }

  /* The tray */

  /**
   * @param {Blob} blob
   * @param {string} name
   */
  #add(blob, name) {
    if (this.#judged) this.#clearTray();
    if (this.#shots.length >= MOST_PHOTOS) {
      this.message.replaceChildren(notice('warn', `${MOST_PHOTOS} photos are enough: remove one to add another.`));
      return false;
    }
    const thumbnail = el('img', { src: URL.createObjectURL(blob), alt: '', width: 72, height: 72 });
    thumbnail.addEventListener('error', () => {
      URL.revokeObjectURL(thumbnail.src);
      thumbnail.replaceWith(el('span', { class: 'shot-unreadable' }, icon('image')));
    });
    const drop = el('button', { class: 'button plain', type: 'button', 'aria-label': `Remove ${name}` }, icon('close'));
    const node = el(
      'li',
      { class: 'shot' },
      thumbnail,
      el('div', { class: 'shot-main' }, el('span', { class: 'shot-name', text: name }), el('span', { class: 'shot-verdict', role: 'status' })),
      drop,
    );
    const shot = { blob, name, node, refused: false };
    drop.addEventListener('click', () => {
      this.#shots = this.#shots.filter((other) => other !== shot);
      discard(shot);
      this.#update();
    });
    this.#shots.push(shot);
    this.tray.append(node);
    this.#update();
    return true;
  }

  #clearTray() {
    this.#shots.forEach(discard);
    this.#shots = [];
    this.#judged = false;
    this.message.replaceChildren();
  }

  /* Sending */

  /** @param {boolean} override whether the face may also belong to another person */
  async #send(override) {
    this.message.replaceChildren();
    const body = new FormData();
    const fields = this.own?.fields ?? { employee: this.person.id, consent: 'true', ...(override && { override: 'true' }) };
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    const sent = this.#usable;
    for (const { blob, name } of sent) body.append('photo', blob, fileName(name));
    try {
      const options = { body, anonymous: Boolean(this.own), timeout: 120_000 };
      const answer = await busy(this.button, () => request('POST', this.own?.path ?? '/api/enroll', options));
      this.#enrolled(answer, sent);
    } catch (error) {
      this.#refused(error, sent);
    }
    this.#update();
    this.message.scrollIntoView({ block: 'nearest' });
  }

  /**
   * @param {{photos: ApiSchema<'PhotoView'>[], templates?: number}} answer
   * @param {Shot[]} sent
   */
  #enrolled({ photos, templates = 0 }, sent) {
    this.#judge(photos, sent);
    this.#judged = true;
    this.consent.checked = false;
    this.#stopCamera();
    const used = photos.filter((photo) => photo.accepted).length;
    this.message.replaceChildren(
      notice('good', `${this.person.name} is enrolled: ${used} of ${plural(photos.length, 'photo')} used, ${plural(templates, 'template')} in total.`),
    );
    this.dispatchEvent(new CustomEvent('enrolled', { bubbles: true }));
  }

  /**
   * @param {unknown} error
   * @param {Shot[]} sent
   */
  #refused(error, sent) {
    this.dispatchEvent(new CustomEvent('refused', { bubbles: true, detail: error }));
    if (error instanceof Problem && Array.isArray(error.body.photos)) this.#judge(error.body.photos, sent);
    if (error instanceof Problem && error.code === 'duplicate_person' && error.body.other) return this.#duplicate(error.body.other);
    if (error instanceof Problem && error.code === 'too_many_enrollments') return this.#tooMany(error);
    this.message.replaceChildren(notice('bad', sentence(explain(error))));
  }

  /** @param {{id: string, name: string, code: string}} other */
  #duplicate(other) {
    const words = el(
      'p',
      {},
      'This face already belongs to another person: ',
      el('a', { href: `#${other.id}`, text: `${other.name} (${other.code})` }),
      '. Check whose photos these are.',
    );
    const anyway = el('button', { class: 'button danger', type: 'button', text: 'Enroll anyway', onclick: () => this.#override(other) });
    this.message.replaceChildren(notice('bad', words, this.mayOverride ? el('div', { class: 'actions' }, anyway) : null));
  }

  /** @param {Problem} error */
  #tooMany(error) {
    const lift = el('button', { class: 'button', type: 'button', text: 'Lift the limit for 24 hours', onclick: () => this.#lift(lift) });
    this.message.replaceChildren(
      notice(
        'bad',
        el('p', { text: `You enrolled many people within an hour, and there is a limit. Try again later${this.mayOverride ? ', or lift it' : ', or ask an admin to lift it'}.`, title: error.message }),
        this.mayOverride ? el('div', { class: 'actions' }, lift) : null,
      ),
    );
  }

  /**
   * Lifts the limit, and sends the photos again.
   * @param {HTMLButtonElement} button
   */
  async #lift(button) {
    try {
      await busy(button, () => request('POST', '/api/enrollment-limit/lift'));
      // The page says so.
      this.dispatchEvent(new CustomEvent('lifted', { bubbles: true }));
    } catch (error) {
      this.message.replaceChildren(notice('bad', sentence(explain(error))));
      return;
    }
    await this.#send(false);
  }

  /** @param {{name: string}} other */
  async #override(other) {
    const sure = await ask({
      title: 'Enroll anyway?',
      text: `The photos look like ${other.name}. If you enroll them, kiosks can confuse the two people. The audit trail records this decision.`,
      action: 'Enroll anyway',
    });
    if (sure) await this.#send(true);
  }

  /**
   * Shows each photo's verdict beside it.
   * @param {ApiSchema<'PhotoView'>[]} verdicts
   * @param {Shot[]} sent
   */
  #judge(verdicts, sent) {
    for (const { index, accepted, reason, detail } of verdicts) {
      const shot = sent[index];
      if (!shot) continue;
      shot.refused = !accepted;
      shot.node.classList.toggle('good', accepted);
      shot.node.classList.toggle('bad', !accepted);
      const words = accepted ? 'Good' : sentence(IN_A_PHOTO[reason ?? ''] ?? detail ?? reason ?? 'not usable');
      const verdict = shot.node.querySelector('.shot-verdict');
      if (verdict) verdict.textContent = words;
    }
  }
}

/**
 * @param {string} name the icon's name
 * @param {string} title
 * @param {string} note
 * @param {() => void} press
 */
function source(name, title, note, press) {
  return el('button', { class: 'source', type: 'button', onclick: press }, icon(name), el('strong', { text: title }), el('span', { class: 'hint', text: note }));
}

/** @param {Shot} shot */
function discard({ node }) {
  const image = node.querySelector('img');
  if (image) URL.revokeObjectURL(image.src);
  node.remove();
}

/**
 * Returns a neutral file name: the original can reveal more than the photo, so it never leaves the browser.
 * @param {string} name
 */
function fileName(name) {
  const extension = /\.(jpe?g|png|webp)$/iu.exec(name)?.[1].toLowerCase() ?? 'jpg';
  return `photo.${extension}`;
}

customElements.define('rollcall-enroll', RollcallEnroll);

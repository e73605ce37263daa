// A person's own face at the kiosk: after their PIN or badge they agree and take photos, or have their face deleted.

import { Problem } from '../api.js';
import { grabFrame } from '../ui/camera.js';
import { byId, el, icon } from '../ui/dom.js';
import { busy, sentence } from '../ui/form.js';
import { Later, asDevice } from './delivery.js';
import { sleep } from './eyes.js';

/** Without a touch for this long, the dialog closes, so that nobody leaves it open for the next person. */
const IDLE_MS = 90_000;
/** The dialog says so this long before. */
const WARN_MS = 20_000;
const TICK_MS = 500;
/** Time to look where the kiosk says after a press on the button, seconds. */
const COUNTDOWN = 2;
const PHOTO_SIDE = 1280;
const PHOTO_QUALITY = 0.92;
const SEND_MS = 60_000;
/** Different photos make a better template than equal ones, hence the poses. */
const POSES = ['Look straight into the camera', 'Turn your head a little to the left', 'Turn your head a little to the right'];
const BY_OTHER_MEANS = 'No, go on with my PIN or badge';

/**
 * @typedef {object} Own
 * @property {import('./seal.js').Secret} secret the PIN or badge that proves who the person is
 * @property {string} name
 * @property {boolean} enrolled
 * @property {{version: string, text: string}} consent
 * @property {MediaStream | null} stream
 * @property {() => void} stays called when the person is seen to be here, which is no reason to punch them
 * @property {<Answer>(work: (token: string) => Promise<Answer>) => Promise<Answer>} asKiosk runs a request in turn
 */

const dialog = byId('own-face');
const video = byId('own-face-video');

/** @type {Own | null} */
let own = null;
/** @type {Blob[]} */
let photos = [];
let touchedAt = 0;
/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;

export const ownFaceIsOpen = () => dialog.open;

export const closeOwnFace = () => dialog.open && dialog.close();

/** @param {Own} person */
export function openOwnFace(person) {
  own = person;
  person.stays();
  video.srcObject = person.stream;
  dialog.showModal();
  touch();
  ticking = setInterval(tick, TICK_MS);
  if (person.enrolled) showEnrolled(person);
  else showConsent(person);
}

function touch() {
  touchedAt = Date.now();
  byId('own-face-time').textContent = '';
}

function tick() {
  if (dialog.getAttribute('aria-busy')) return touch();
  const left = touchedAt + IDLE_MS - Date.now();
  if (left <= 0) return dialog.close();
  if (left <= WARN_MS) byId('own-face-time').textContent = 'This closes in a few seconds. Touch the screen to stay.';
}

/**
 * Shows a step. The buttons are equal: none of them is the better choice.
 * @param {string} title
 * @param {string} text
 * @param {[string, () => unknown][]} choices
 */
function show(title, text, choices) {
  if (!dialog.open) return;
  byId('own-face-title').textContent = title;
  byId('own-face-text').textContent = text;
  byId('own-face-studio').hidden = true;
  byId('own-face-photos').replaceChildren();
  byId('own-face-choices').replaceChildren(
    ...choices.map(([words, press]) => {
      const button = el('button', { class: 'button', type: 'button', text: words });
      button.addEventListener('click', () => busy(button, async () => press()));
      return button;
    }),
  );
  byId('own-face-title').focus();
}

const close = () => dialog.close();

/** @param {Own} person */
function showEnrolled(person) {
  show(`Hello, ${person.name}`, 'Kiosks recognize your face. You can take new photos, or have your face deleted and punch with your PIN or badge.', [
    ['Take new photos', () => showConsent(person)],
    ['Delete my face', () => askToDelete(person)],
    ['Close', close],
  ]);
}

/** @param {Own} person */
function showConsent(person) {
  show(`Your face, ${person.name}`, person.consent.text, [
    ['I agree', () => takePhotos(person)],
    [BY_OTHER_MEANS, close],
  ]);
}

/** @param {Own} person */
function askToDelete(person) {
  show('Delete your face?', 'Your photos, the numbers made from them and the pictures of your punches are deleted at once. You then punch with your PIN or badge.', [
    ['Delete my face', () => withdraw(person)],
    ['Keep it', close],
  ]);
}

/** @param {Own} person */
async function withdraw({ secret, asKiosk }) {
  await trying(async () => {
    const { outcome, detail } = await asKiosk((token) => asDevice(token, 'POST', '/api/device/withdrawals', { json: secret }));
    if (outcome !== 'withdrawn') return refuse(detail);
    show('Your face is deleted', 'Kiosks do not recognize you anymore. Punch with your PIN or badge.', [['Done', close]]);
  });
}

/* Photos */

/** @param {Own} person */
async function takePhotos(person) {
  if (!person.stream) return refuse('the camera of this kiosk is off');
  photos = [];
  show('', '', []);
  byId('own-face-studio').hidden = false;
  const shutter = el('button', { class: 'button', type: 'button' }, icon('camera'), 'Take the photo');
  shutter.addEventListener('click', () => busy(shutter, () => takePhoto(person)));
  byId('own-face-choices').replaceChildren(shutter, el('button', { class: 'button', type: 'button', text: BY_OTHER_MEANS, onclick: close }));
  nextPose();
  await video.play();
  shutter.focus();
}

function nextPose() {
  byId('own-face-title').textContent = `Photo ${photos.length + 1} of ${POSES.length}`;
  coach(POSES[photos.length]);
}

/** @param {string} words */
function coach(words) {
  byId('own-face-coach').textContent = words;
}

/** @param {Own} person */
async function takePhoto(person) {
  const pose = POSES[photos.length];
  for (let left = COUNTDOWN; left > 0; left -= 1) {
    coach(`${pose}: ${left}`);
    await sleep(1000);
    touch();
  }
  if (own !== person) return;
  photos.push(await grabFrame(video, PHOTO_SIDE, PHOTO_QUALITY));
  if (photos.length === POSES.length) return enroll(person);
  nextPose();
}

/** @param {ApiSchema<'PhotoView'>[]} verdicts */
const showVerdicts = (verdicts) => byId('own-face-photos').replaceChildren(...verdicts.map(verdictOn));

/** @param {ApiSchema<'PhotoView'>} verdict */
function verdictOn({ index, accepted, detail }) {
  const image = el('img', { src: URL.createObjectURL(photos[index]), alt: '', width: 96, height: 72 });
  image.addEventListener('load', () => URL.revokeObjectURL(image.src));
  return el('li', { class: accepted ? 'good' : 'bad' }, image, el('span', { text: accepted ? 'Good' : sentence(detail ?? 'not usable') }));
}

/** @param {Own} person */
async function enroll(person) {
  coach('One moment');
  const body = new FormData();
  for (const [name, value] of Object.entries({ ...person.secret, consent: person.consent.version })) body.append(name, value);
  for (const photo of photos) body.append('photo', photo, 'photo.jpg');
  const again = /** @type {[string, () => unknown]} */ (['Take new photos', () => takePhotos(person)]);
  await trying(
    async () => {
      const { outcome, detail, photos: verdicts } = await person.asKiosk((token) => asDevice(token, 'POST', '/api/device/enrollments', { body, timeout: SEND_MS }));
      if (outcome !== 'enrolled') return refuse(detail);
      show('Your face is enrolled', 'From now on, look into the camera to punch. You can delete your face here at any time, and your PIN or badge goes on working.', [['Done', close], again]);
      showVerdicts(verdicts ?? []);
    },
    (problem) => {
      const words = problem.code === 'duplicate_person' ? 'These photos look like another person. See your manager; until then, punch with your PIN or badge.' : sentence(problem.message);
      show('Not enrolled', words, problem.code === 'no_usable_photo' ? [again, [BY_OTHER_MEANS, close]] : [['Close', close]]);
      showVerdicts(problem.body.photos ?? []);
    },
  );
}

/* What can go wrong */

/**
 * Runs `work`, and says what was wrong.
 * @param {() => Promise<void>} work
 * @param {(problem: Problem) => void} [refused]
 */
async function trying(work, refused = ({ message }) => refuse(message)) {
  dialog.setAttribute('aria-busy', 'true');
  try {
    await work();
  } catch (error) {
    if (error instanceof Later && error.limited) refuse('this kiosk accepts no more of this for a while');
    else if (error instanceof Later) show('No answer', 'The service did not answer, so it may or may not have happened. Open “My face” again later to see.', [['Close', close]]);
    else if (error instanceof Problem) refused(error);
    else {
      dialog.close();
      throw error;
    }
  } finally {
    dialog.removeAttribute('aria-busy');
  }
}

/** @param {string | null | undefined} why */
const refuse = (why) => show('This did not work', `${sentence(why ?? 'try again')}. Nothing was changed; try again later, or see your manager.`, [['Close', close]]);

for (const event of ['pointerdown', 'keydown']) dialog.addEventListener(event, touch);
dialog.addEventListener('close', () => {
  clearInterval(ticking);
  own?.stays();
  own = null;
  photos = [];
  video.srcObject = null;
  for (const id of /** @type {const} */ (['own-face-photos', 'own-face-choices'])) byId(id).replaceChildren();
});

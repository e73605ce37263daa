// The kiosk: watches the camera, punches the person in front of it, and loses nothing while the server is unavailable.

import { Problem } from './api.js';
import { Later, Unpaired, asDevice, beginPairing, deliver, deliverSaved, isOne } from './kiosk/delivery.js';
import { glance, sleep, takeBurst, takeFrame } from './kiosk/eyes.js';
import { forgetPairing, loadPairing, savePairing, takeTokenFromAddress, tokenIn } from './kiosk/pairing.js';
import { Presence } from './kiosk/presence.js';
import { MOST_BY_MOTION, MOST_SAVED, countSaved, listSaved, save } from './kiosk/saved.js';
import { becameOf, cardFor, looking, prompt, runClock, showCard, showLine } from './kiosk/screen.js';
import { View, alike } from './kiosk/view.js';
import { CameraError, closeCamera, openCamera } from './ui/camera.js';
import { byId } from './ui/dom.js';
import { onSubmit } from './ui/form.js';
import { clockTime } from './ui/time.js';

/** Time between two checks for motion. */
const WATCH_MS = 200;
/** Time between two tries while a person stands still. */
const STILL_MS = 10_000;
/** After motion without a face each try waits longer, so that a busy corridor costs little. */
const PAUSES_MS = [1000, 2000, 4000];
/** Most looks at a person who is almost recognized; the server accepts no more. */
const MOST_LOOKS = 3;
/** Frames of a burst, and the time between them: about a second in total. */
const FRAMES = 3;
const APART_MS = 450;
/** A saved burst gets no second look, so it has as many frames as the server accepts. */
const SAVED_FRAMES = 5;
const SAVED_PAUSE_MS = 8000;
/** Offline there is no second look either, so a new person gets this long to stand still. */
const SETTLE_MS = 1500;
const PROBE_MS = 3000;
/** Time between two reports of this kiosk's state. */
const REPORT_MS = 60_000;
/** Time between two checks whether an admin entered the code. */
const PAIRING_MS = 2000;
/** People who work at a single place, the default site, do not see its name. */
const DEFAULT_SITE = '00000000-0000-7000-8000-000000000001';
const INVITATION = 'Look into the camera';
/** The result of saved pictures is shown for this long. */
const TOLD_MS = 10_000;

/** @typedef {{x: number, y: number, width: number, height: number}} Box */

const video = byId('video');

/** @type {import('./kiosk/pairing.js').Pairing | null} */
let pairing = null;
/** @type {MediaStream | null} */
let stream = null;
let view = new View();
let online = true;
/** The kiosk sends nothing before this time, as the server asked. */
let notBefore = 0;
let asked = false;
let nextTry = 0;
/** When the invitation replaces the result of saved pictures; 0 if it already has. */
let inviteAt = 0;
let lastTry = 0;
let emptyTries = 0;
const presence = new Presence();
/** The last position of the face of the person who stays. @type {Box | null} */
let lastBox = null;
/** Whether the kiosk shows a code, or will as soon as it has one. */
let offering = false;
/** The version of this page: that of the service when the page was loaded. */
let version = '';
/** When the kiosk last reported its state; 0 to report it soon. */
let reportedAt = 0;

/* Pairing */

/** @param {string} why */
function showUnpaired(why) {
  pairing = null;
  closeCamera(stream);
  stream = null;
  byId('unpaired-why').textContent = why;
  byId('unpaired').hidden = false;
  offerCode();
  byId('camera-help').hidden = true;
  byId('now').hidden = true;
  byId('line').hidden = true;
}

/** Shows a code for an admin to enter, and pairs with the resulting token. */
async function offerCode() {
  if (offering) return;
  offering = true;
  /** @type {{code: string, secret: string} | null} */
  let offer = null;
  /** @type {string | null | undefined} */
  let token;
  while (!pairing) {
    try {
      offer ??= await beginPairing();
      byId('pair-code').textContent = offer.code;
      byId('pair-by-code').hidden = false;
      await sleep(PAIRING_MS);
      if (pairing) break;
      token ??= (await asDevice(offer.secret, 'GET', '/api/pairing')).token;
      if (!token) continue;
      await pair(token);
      await open();
    } catch (error) {
      if (error instanceof Later) {
        // The code and the token stay valid until the server is back.
        await sleep(error.wait);
        continue;
      }
      if (!(error instanceof Unpaired || error instanceof Problem)) console.error(error);
      offer = null;
      token = undefined;
      byId('pair-by-code').hidden = true;
      await sleep(PAIRING_MS);
    }
  }
  offering = false;
  byId('pair-by-code').hidden = true;
}

function unpair() {
  const kept = loadPairing();
  if (pairing && kept && kept.token !== pairing.token) {
    // Another tab of this browser has renewed the token.
    pairing = kept;
    return;
  }
  forgetPairing();
  showUnpaired('It was disconnected: its token was revoked or is not valid. Saved punches are kept and sent when you pair it again.');
}

/**
 * Checks a token with the server and saves it.
 * @param {string} token
 * @throws {Unpaired | Later | Problem}
 */
async function pair(token) {
  const device = await asDevice(token, 'GET', '/api/device');
  version ||= device.service_version;
  pairing = { token, name: device.name, site: device.site === DEFAULT_SITE ? null : device.site_name };
  savePairing(pairing);
}

async function start() {
  const fromAddress = takeTokenFromAddress();
  const kept = loadPairing();
  const token = fromAddress ?? kept?.token;
  if (!token) return showUnpaired('Each kiosk needs its own token, so that only known devices can record punches.');
  try {
    await pair(token);
  } catch (error) {
    if (error instanceof Unpaired) {
      if (!fromAddress || fromAddress === kept?.token) return unpair();
      return showUnpaired('That pairing link is not valid or was revoked.');
    }
    if (!(error instanceof Later)) throw error;
    // The server is unavailable: a paired kiosk continues and saves punches.
    pairing = kept?.token === token ? kept : { token };
    savePairing(pairing);
    wentOffline(error.wait);
  }
  await open();
}

async function open() {
  byId('unpaired').hidden = true;
  byId('device-name').textContent = [pairing?.name, pairing?.site].filter(Boolean).join(' · ') || 'Rollcall';
  byId('now').hidden = false;
  await showState();
  await startCamera();
}

onSubmit(byId('pair-form'), async ({ token }) => {
  try {
    await pair(tokenIn(token));
    byId('pair-form').reset();
    await open();
  } catch (error) {
    const refused = error instanceof Unpaired || error instanceof Problem;
    throw refused ? new Problem(401, { errors: [{ field: 'token', detail: 'no device has this token: check the link or add the device again' }] }, null) : unreachable();
  }
});

const unreachable = () => new Problem(503, { errors: [{ field: 'token', detail: 'the server cannot be reached: try again' }] }, null);

/* The camera */

async function startCamera() {
  byId('camera-help').hidden = true;
  closeCamera(stream);
  try {
    stream = await openCamera(video);
    stream.getVideoTracks()[0].addEventListener('ended', () => showCameraHelp('The camera was disconnected', 'Reconnect it, then try again.'));
    view = new View();
    reportedAt = 0;
    prompt(INVITATION);
    keepAwake();
  } catch (error) {
    if (!(error instanceof CameraError)) throw error;
    showCameraHelp(error.title, error.message);
  }
}

/**
 * @param {string} title
 * @param {string} text
 */
function showCameraHelp(title, text) {
  stream = null;
  reportedAt = 0;
  byId('camera-title').textContent = title;
  byId('camera-text').textContent = text;
  byId('camera-help').hidden = false;
}

/** Keeps the screen on while the page is visible, if the browser can. */
async function keepAwake() {
  try {
    await navigator.wakeLock?.request('screen');
  } catch {
    // refused, for example on low battery: the kiosk still works
  }
}

/* The connection */

async function showState() {
  const saved = await listSaved();
  const refused = saved.filter((burst) => burst.refused).length;
  showLine(online, saved.length - refused, refused);
}

/** @param {number} wait milliseconds */
function wentOffline(wait) {
  online = false;
  notBefore = Date.now() + wait;
}

/** Sends saved bursts; returns true if none is left to send. */
async function catchUp() {
  if (!pairing) return false;
  /** @type {import('./kiosk/delivery.js').Answer[]} */
  const answers = [];
  try {
    if (!online) await pair(pairing.token);
    await deliverSaved(pairing.token, presence, (answer) => answer && answers.push(answer));
    online = true;
    return true;
  } catch (error) {
    if (error instanceof Unpaired) unpair();
    else if (error instanceof Later) wentOffline(error.wait);
    else throw error;
    return false;
  } finally {
    if (pairing) await showState();
    const words = becameOf(answers);
    if (words) {
      prompt(words);
      inviteAt = Date.now() + TOLD_MS;
    }
  }
}

/** Reports the state of this kiosk, and renews its token when the server asks for it. */
async function report() {
  if (!pairing) return;
  const { token } = pairing;
  reportedAt = Date.now();
  const saved = await listSaved();
  const refused = saved.filter((burst) => burst.refused).length;
  const json = { version: version || 'unknown', unsent: saved.length - refused, refused, now: new Date().toISOString(), camera: stream ? 'on' : 'off' };
  try {
    const answer = await asDevice(token, 'POST', '/api/device/status', { json });
    if (answer.renew_token) await renew(token);
  } catch (error) {
    if (error instanceof Unpaired) unpair();
    else if (error instanceof Later && error.away) wentOffline(error.wait);
    else if (!(error instanceof Later)) throw error;
  }
}

/**
 * Gets a new token. The server accepts the old one until the new one is used, so it is saved first.
 * @param {string} token
 */
async function renew(token) {
  const renewed = { ...pairing, token: (await asDevice(token, 'POST', '/api/device/token')).token };
  savePairing(renewed);
  pairing = renewed;
}

/** While the server is unavailable, or bursts are saved, retries again and again. Reports the state of this kiosk. */
async function keepConnected() {
  for (;;) {
    await sleep(PROBE_MS);
    try {
      if (pairing && Date.now() >= notBefore && (!online || (await unsent()))) await inTurn(catchUp);
      // In turn, so that no other request has the old token when the new one is used.
      if (pairing && online && Date.now() - reportedAt >= REPORT_MS) await inTurn(report);
    } catch (error) {
      console.error(error);
    }
  }
}

const unsent = async () => (await listSaved()).some((burst) => !burst.refused);

/** One task at a time: a saved punch and a new one must not overtake each other. */
let turn = Promise.resolve();

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
function inTurn(work) {
  const mine = turn.then(work);
  turn = mine.then(
    () => {},
    () => {},
  );
  return mine;
}

/* A try at a punch */

/** @param {boolean} byHand whether the person pressed the button */
async function tryPunch(byHand) {
  looking(true);
  try {
    if (online && !byHand && (await onlyLingering())) return pause('empty');
    if (!online) {
      if (byHand || view.somebodyNew) await keep(await takeBurst(video, SAVED_FRAMES, APART_MS / 2), byHand);
      return;
    }
    await punch(byHand);
  } catch (error) {
    if (error instanceof Unpaired) return unpair();
    throw error;
  } finally {
    looking(false);
  }
}

/** @param {boolean} byHand */
async function punch(byHand) {
  const { token } = /** @type {import('./kiosk/pairing.js').Pairing} */ (pairing);
  for (let look = 1; look <= MOST_LOOKS; look += 1) {
    const before = view.picture;
    const burst = await takeBurst(video, FRAMES, APART_MS);
    const after = glance(video);
    let answer;
    try {
      if (await unsent()) {
        if (!(await catchUp())) throw new Later(null);
      }
      answer = await deliver(token, burst, look);
    } catch (error) {
      if (!(error instanceof Later)) throw error;
      wentOffline(error.wait);
      // Saves only for a new person, not for an empty scene or a person who has an answer.
      if (byHand || view.somebodyNew) await keep(burst, byHand, look);
      return;
    }
    if (answer.outcome === 'nobody' && answer.more && look < MOST_LOOKS) {
      prompt('One moment, keep looking at the camera');
      continue;
    }
    if (inviteAt === 0) prompt(INVITATION);
    if (answer.outcome === 'no_face' && before && alike(before, after)) view.learn(after, Date.now());
    return show(answer, byHand, after);
  }
}

/**
 * @param {import('./kiosk/delivery.js').Answer} answer
 * @param {boolean} byHand
 * @param {import('./kiosk/view.js').Picture} picture the view at that time
 */
async function show(answer, byHand, picture) {
  if (answer.punch) {
    presence.saw(answer.punch.employee, Date.now(), view.visit, answer.punch);
    lastBox = null;
    view.dealtWith(picture);
  }
  const card = cardFor(answer, byHand);
  if (card) await showCard(card);
  pause(answer.outcome === 'no_face' ? 'empty' : answer.outcome === 'nobody' ? 'long' : 'short');
}

/**
 * Checks whether the nearest face belongs to a person who has just punched and has not left. Identifies without a
 * punch, because the next punch of a person who only stays to talk would punch them out.
 */
async function onlyLingering() {
  const there = presence.at(Date.now(), view.visit);
  if (there.length === 0) return false;
  const { token } = /** @type {import('./kiosk/pairing.js').Pairing} */ (pairing);
  try {
    const picture = glance(video);
    const frame = await takeFrame(video);
    const after = glance(video);
    const { faces } = await asDevice(token, 'POST', '/api/identify', { body: frame, headers: { 'Content-Type': frame.type } });
    const nearest = faces.reduce((/** @type {typeof faces[number] | null} */ best, face) => (best && area(best.box) >= area(face.box) ? best : face), null);
    if (!nearest) {
      // They may have turned away; but if the empty scene is not known yet, this is it.
      if (view.occupied === null && alike(picture, after)) view.learn(after, Date.now());
      else view.broken(Date.now());
      return true;
    }
    const known = nearest.employee ?? (await whichOf(there, frame));
    if (known ? !there.includes(known) : !near(nearest.box, lastBox)) {
      view.broken(Date.now());
      return false;
    }
    // Turned away or blurred: the face is not identified, but it has not moved.
    if (!known) presence.doubt(Date.now(), view.visit, view.occupied === null);
    else presence.saw(known, Date.now(), view.visit);
    lastBox = nearest.box;
    view.dealtWith(picture);
    return true;
  } catch (error) {
    if (error instanceof Unpaired) throw error;
    if (!(error instanceof Later) || !error.away) return true;
    // A missing answer does not mean an arrival: the person in view is still the same.
    wentOffline(error.wait);
    return !view.somebodyNew;
  }
}

/**
 * Returns which of a few people a frame shows: that needs less similarity than a search among all people.
 * @param {string[]} people
 * @param {Blob} frame
 */
async function whichOf(people, frame) {
  const { token } = /** @type {import('./kiosk/pairing.js').Pairing} */ (pairing);
  for (const employee of people) {
    if (await isOne(token, employee, [frame])) return employee;
  }
  return null;
}

/** @param {Box} box */
const area = ({ width, height }) => width * height;

/**
 * Checks whether two boxes can contain the same face, some seconds apart.
 * @param {Box} one
 * @param {Box | null} other `null` if it is not known
 */
function near(one, other) {
  if (!other) return true;
  const size = Math.max(one.width, other.width);
  const apart = Math.hypot(one.x + one.width / 2 - other.x - other.width / 2, one.y + one.height / 2 - other.y - other.height / 2);
  return apart <= size && Math.min(one.width, other.width) >= size / 2;
}

/**
 * Saves a burst, to send it when the server is back.
 * @param {import('./kiosk/eyes.js').Burst} burst
 * @param {boolean} byHand
 * @param {number} [look] the look that it was sent as, if it was sent
 */
async function keep(burst, byHand, look) {
  const room = (await countSaved()) < (byHand ? MOST_SAVED : MOST_BY_MOTION);
  if (room) await save({ ...burst, byHand, look, visit: view.visit });
  view.dealtWith(glance(video));
  await showState();
  nextTry = Date.now() + SAVED_PAUSE_MS;
  await showCard(
    room
      ? { tone: 'warn', icon: 'offline', name: `Picture saved at ${clockTime(burst.capturedAt)}`, text: 'It will be checked when the service is back', hold: 3000 }
      : { tone: 'bad', icon: 'alert', name: 'Not saved', text: 'This kiosk has no connection and no space left. Tell an admin when you came or left.', hold: 4000 },
  );
}

/** @param {'empty' | 'short' | 'long'} length */
function pause(length) {
  emptyTries = length === 'empty' ? emptyTries + 1 : 0;
  const step = length === 'long' ? PAUSES_MS.length - 1 : Math.min(emptyTries, PAUSES_MS.length - 1);
  nextTry = Date.now() + PAUSES_MS[step];
}

/* Watching */

/**
 * Offline: checks whether a new person has come and stands still.
 * @param {number} now
 */
const worthSaving = (now) => view.curious && view.somebodyNew && (!view.moved || now - view.visit > SETTLE_MS);

async function watch() {
  for (;;) {
    await sleep(WATCH_MS);
    if (!pairing || !stream || document.hidden || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) continue;
    const now = Date.now();
    view.look(glance(video), now);
    // A new person ends earlier pauses.
    if (view.visit > lastTry && view.occupied) nextTry = Math.min(nextTry, lastTry + PAUSES_MS[0]);
    if (view.occupied === false) emptyTries = 0;
    if (inviteAt > 0 && now > inviteAt) {
      inviteAt = 0;
      prompt(INVITATION);
    }
    const byHand = asked;
    if (!byHand && (now < nextTry || !(online ? view.curious || now - lastTry > STILL_MS : worthSaving(now)))) continue;
    view.curious = false;
    asked = false;
    lastTry = now;
    try {
      await inTurn(() => tryPunch(byHand));
    } catch (error) {
      console.error(error);
      await showCard({ tone: 'bad', icon: 'alert', text: 'Something went wrong: try again', hold: 2500 });
      pause('long');
    }
    lastTry = Date.now();
  }
}

byId('now').addEventListener('click', () => (asked = true));
byId('camera-retry').addEventListener('click', startCamera);
navigator.mediaDevices?.addEventListener('devicechange', () => pairing && !stream && startCamera());
window.addEventListener('hashchange', () => location.hash && location.reload());
window.addEventListener('online', () => (notBefore = 0));
document.addEventListener('visibilitychange', () => !document.hidden && stream && keepAwake());
navigator.storage?.persist?.();

runClock();
watch();
keepConnected();
await start();

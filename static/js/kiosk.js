// The kiosk: watches the camera, punches the person in front of it, and loses nothing while the server is unavailable.

import { Problem, explain } from './api.js';
import { keepShown, loadReader, watchCamera, watchScanners } from './kiosk/badge.js';
import { Later, Unpaired, asDevice, beginPairing, deliver, deliverSaved, isOne } from './kiosk/delivery.js';
import { glance, newKey, sleep, takeBurst, takeFrame, withoutFrames } from './kiosk/eyes.js';
import { closeOwnFace, openOwnFace, ownFaceIsOpen } from './kiosk/own-face.js';
import { badgeUse, closePad, openPad, padIsOpen } from './kiosk/pad.js';
import { forgetPairing, loadPairing, savePairing, takeTokenFromAddress, tokenIn } from './kiosk/pairing.js';
import { Presence } from './kiosk/presence.js';
import { MOST_BY_MOTION, MOST_SAVED, countSaved, listSaved, save, tooManyPins } from './kiosk/saved.js';
import { becameOf, cardFor, endCard, looking, prompt, runClock, showCard, showLine, showTimesIn } from './kiosk/screen.js';
import { seal } from './kiosk/seal.js';
import { View, alike } from './kiosk/view.js';
import { CameraError, closeCamera, openCamera } from './ui/camera.js';
import { byId } from './ui/dom.js';
import { onSubmit, sentence } from './ui/form.js';
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
const INVITATION = 'Look into the camera, show your badge, or use a PIN';
const INVITATION_TO_BOTH = 'Look into the camera, then type your PIN or show your badge';
/** A person can take back a punch of their face for this long. */
const NOT_ME_MS = 15_000;
/** The next punch takes the place of one that was taken back for this long. */
const INSTEAD_MS = 90_000;
/** Without motion for this long, nobody shows a badge to the camera. */
const CALM_MS = 10_000;
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
/** The visit in which a person left the pad at a site that asks for the face and the PIN. */
let leftPad = -1;
/** The punch that the person in front of the kiosk can take back. @type {import('./kiosk/delivery.js').Punch | null} */
let deniable = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let denying;
/** The punch that was taken back. @type {{id: string, until: number} | null} */
let mistaken = null;
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
  byId('ways').hidden = true;
  byId('line').hidden = true;
  offerNotMe(null);
  closePad();
  closeOwnFace();
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
  const { name, site_name: site, zone, face_and_pin: both, keeps_unknown_faces: keepsFaces, consent } = device;
  pairing = { token, name, site: device.site === DEFAULT_SITE ? null : site, zone, both, keepsFaces, consent, release: device.service_version };
  savePairing(pairing);
  showTimesIn(zone);
  byId('my-face').hidden = !consent;
  keepPage(device.service_version);
}

/**
 * Keeps this page in the browser, for a start while the service is away.
 * @param {string} release
 */
function keepPage(release) {
  const script = `/static/js/kiosk/offline.js?${new URLSearchParams({ version: release })}`;
  // The page, and the reader of QR codes, whose own address decides for a worker.
  for (const scope of ['/kiosk', '/static/js/kiosk/']) {
    // Refused where the certificate is not trusted: the kiosk then needs the service to start.
    navigator.serviceWorker?.register(script, { scope }).catch(() => {});
  }
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
    // This page is most likely the kept one, of the last release that the kiosk met.
    version = kept?.release ?? 'unknown';
    savePairing(pairing);
    showTimesIn(pairing.zone);
    wentOffline(error.wait);
  }
  await open();
}

async function open() {
  byId('unpaired').hidden = true;
  byId('device-name').textContent = [pairing?.name, pairing?.site].filter(Boolean).join(' · ') || 'Rollcall';
  byId('ways').hidden = false;
  await showState();
  await startCamera();
  // After what people wait for.
  (window.requestIdleCallback ?? setTimeout)(loadReader);
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
    invite();
    keepAwake();
  } catch (error) {
    if (!(error instanceof CameraError)) throw error;
    showCameraHelp(error.title, error.message);
  }
}

const invite = () => prompt(pairing?.both ? INVITATION_TO_BOTH : INVITATION);

/**
 * Learns whether the site asks for the face and the PIN.
 * @param {boolean} both
 */
function learnBoth(both) {
  if (!pairing || Boolean(pairing.both) === both) return;
  pairing = { ...pairing, both };
  savePairing(pairing);
  invite();
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
  offerNotMe(null);
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
    await deliverSaved(pairing, presence, (answer) => answers.push(answer));
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
    // What the site asks for may have changed.
    await pair(token);
    if (inviteAt === 0) invite();
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

const unsent = async () => (await listSaved()).some((burst) => !burst.stays);

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
  if (pairing?.both && !byHand && leftPad === view.visit) return pause('long');
  looking(true);
  try {
    if (online && !byHand && (await onlyLingering())) return pause('empty');
    if (!online && pairing?.both) {
      if (byHand) askForPin('Type your PIN, or show your badge');
      return pause('empty');
    }
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
    let sentAt = 0;
    try {
      if (await unsent()) {
        if (!(await catchUp())) throw new Later(null);
      }
      sentAt = Date.now();
      answer = await deliver(token, burst, { look, insteadOf: insteadOf() });
    } catch (error) {
      if (!(error instanceof Later)) throw error;
      wentOffline(error.wait);
      // Saves only for a new person, not for an empty scene or a person who has an answer.
      if (byHand || view.somebodyNew) await keep(burst, byHand, { look });
      return;
    }
    learnBoth(answer.outcome === 'pin_needed');
    if (answer.outcome === 'pin_needed') return askForPinToo(burst, byHand);
    if (answer.outcome === 'nobody' && answer.more && look < MOST_LOOKS) {
      prompt('One moment, keep looking at the camera');
      continue;
    }
    if (inviteAt === 0) invite();
    if (answer.outcome === 'no_face' && before && alike(before, after)) view.learn(after, Date.now());
    if (answer.outcome === 'punched') offerNotMe(answer.punch ?? null, sentAt);
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
    mistaken = null;
    if (deniable?.id !== answer.punch.id) offerNotMe(null);
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
 * Saves a burst, to send it when the server is back, or accepts it again.
 * @param {import('./kiosk/eyes.js').Burst} burst
 * @param {boolean} byHand
 * @param {{look?: number, secret?: import('./kiosk/seal.js').Secret}} [sent] `look`: the look that it was sent as, if it
 * was sent; `secret`: the PIN or badge
 */
async function keep(burst, byHand, { look, secret } = {}) {
  const how = !secret ? 'face' : 'pin' in secret ? 'pin' : 'badge';
  // Only secure pages can seal.
  const room = (await countSaved()) < (byHand ? MOST_SAVED : MOST_BY_MOTION) && (!secret || window.isSecureContext);
  const full = room ? secret && 'pin' in secret && (await tooManyPins(secret.code)) : 'This kiosk cannot save this now.';
  if (!full) await save({ ...burst, how, byHand, look, visit: view.visit, insteadOf: insteadOf(), ...(secret && { sealed: await seal(secret) }) });
  view.dealtWith(glance(video));
  await showState();
  nextTry = Date.now() + SAVED_PAUSE_MS;
  await showCard(
    full
      ? { tone: 'bad', icon: 'alert', name: 'Not saved', text: `${full} Tell your manager when you came or left.`, hold: 5000 }
      : { tone: 'warn', icon: 'offline', name: `${secret ? 'Punch' : 'Picture'} saved at ${clockTime(burst.capturedAt, pairing?.zone)}`, text: online ? 'It will be checked later' : 'It will be checked when the service is back', hold: 3000 },
  );
}

/* PIN and badge */

/**
 * Opens the pad.
 * @param {string} title
 * @param {import('./kiosk/eyes.js').Burst} [burst] frames of the person, if the site asks for the face, too
 */
function askForPin(title, burst) {
  openPad({
    title,
    send: async (code, pin) => {
      const wrong = await inTurn(() => punchWith({ code, pin }, burst));
      if (!wrong || padIsOpen()) return wrong;
      await notPunched('keypad', wrong);
      return null;
    },
    badge: burst && ((badge) => useBadge(badge, burst)),
    left: () => (leftPad = view.visit),
  });
}

/**
 * At a site that asks for the face and the PIN: opens the pad if there is a face.
 * @param {import('./kiosk/eyes.js').Burst} burst
 * @param {boolean} byHand
 */
async function askForPinToo(burst, byHand) {
  const { token } = /** @type {import('./kiosk/pairing.js').Pairing} */ (pairing);
  const picture = glance(video);
  const [frame] = burst.frames;
  try {
    const { faces } = byHand ? { faces: [null] } : await asDevice(token, 'POST', '/api/identify', { body: frame, headers: { 'Content-Type': frame.type } });
    if (faces.length > 0) return askForPin('Now type your PIN, or show your badge', burst);
  } catch (error) {
    if (!(error instanceof Later)) throw error;
    if (error.away) wentOffline(error.wait);
    return pause('long');
  }
  if (alike(picture, glance(video))) view.learn(picture, Date.now());
  pause('empty');
}

/**
 * Punches with a PIN or a badge. Returns words for the pad if the person should try again, or `null` if the person has
 * an answer.
 * @param {import('./kiosk/seal.js').Secret} secret
 * @param {import('./kiosk/eyes.js').Burst} [given] frames of the person
 * @param {boolean} [seen] whether the camera saw a badge, which the person may not have shown to it
 * @returns {Promise<string | null>}
 */
async function punchWith(secret, given, seen = false) {
  if (!pairing) return null;
  const { token } = pairing;
  const wanted = !given && pairing.both;
  // Whatever is typed is another request, so it has another key.
  let burst = given ? { ...given, key: newKey() } : ((wanted ? await alsoFace() : null) ?? withoutFrames());
  for (let look = 1; ; look += 1) {
    try {
      if (!online || ((await unsent()) && !(await catchUp()))) {
        await answerFromHere(() => keep(burst, true, { secret }));
        return null;
      }
      const answer = await deliver(token, burst, { look, secret, insteadOf: insteadOf() });
      if (answer.outcome === 'wrong_pin') return 'the number or the PIN is wrong: check the number, and type the PIN again';
      if (answer.outcome === 'face_needed' || answer.outcome === 'pin_needed') learnBoth(true);
      if (answer.outcome === 'pin_needed') {
        askForPin('Now type your PIN');
        return null;
      }
      const more = answer.outcome === 'nobody' && answer.more && look < MOST_LOOKS;
      const face = answer.outcome === 'face_needed' || more ? await alsoFace() : null;
      if (face) {
        burst = face;
        if (!more) look = 0;
        continue;
      }
      const known = answer.punch && presence.at(Date.now(), view.visit).includes(answer.punch.employee);
      if (seen && known && answer.outcome === 'cooldown') return null;
      await answerFromHere(() => show(answer, true, glance(video)));
      return null;
    } catch (error) {
      if (error instanceof Unpaired) {
        unpair();
        return null;
      }
      if (error instanceof Problem) return explain(error);
      if (!(error instanceof Later)) throw error;
      // Others may have used up the tries of this kiosk: the punch is checked when the service accepts it.
      if (error.limited) await answerFromHere(() => keep(burst, true, { secret }));
      else {
        wentOffline(error.wait);
        await answerFromHere(() => keep(burst, true, { look, secret }));
      }
      return null;
    }
  }
}

/**
 * Shows an answer in place of the pad.
 * @param {() => Promise<void>} answer
 */
async function answerFromHere(answer) {
  closePad();
  await answer();
}

/**
 * @param {string} icon
 * @param {string} why
 */
const notPunched = (icon, why) => showCard({ tone: 'warn', icon, name: 'Not punched', text: sentence(why), hold: 4000 });

/** Takes frames of a person who has typed a PIN or shown a badge; `null` without a camera. */
async function alsoFace() {
  if (!stream) return null;
  closePad();
  prompt('Now look into the camera');
  looking(true);
  try {
    return await takeBurst(video, FRAMES, APART_MS);
  } finally {
    looking(false);
    invite();
  }
}

/**
 * Punches with a badge; returns whether there was an answer.
 * @param {string} badge
 * @param {boolean} seen whether the camera saw it
 */
async function punchWithBadge(badge, seen) {
  if (!pairing) return false;
  return badgeUse()?.(badge) ?? useBadge(badge, undefined, seen);
}

/**
 * @param {string} badge
 * @param {import('./kiosk/eyes.js').Burst} [given] frames of the person
 * @param {boolean} [seen]
 */
async function useBadge(badge, given, seen) {
  closePad();
  closeOwnFace();
  let answered = false;
  await attempt(async () => {
    const wrong = await punchWith({ badge }, given, seen);
    answered = !wrong;
    if (wrong) await notPunched('badge', wrong);
  });
  return answered;
}

/* A person's own face */

/** Asks who the person is, and opens their own face. */
function askForOwnFace() {
  openPad({
    title: 'Your face: type your PIN, or show your badge',
    action: 'Go on',
    send: (code, pin) => proveOwn({ code, pin }),
    badge: async (badge) => {
      closePad();
      const wrong = await proveOwn({ badge });
      if (wrong) await showCard({ tone: 'warn', icon: 'badge', name: 'Not now', text: sentence(wrong), hold: 4000 });
      return !wrong;
    },
  });
}

/**
 * Returns words for the pad if the person should try again.
 * @param {import('./kiosk/seal.js').Secret} secret
 * @returns {Promise<string | null>}
 */
async function proveOwn(secret) {
  /** @type {import('./kiosk/own-face.js').Own['asKiosk']} */
  const asKiosk = async (work) => {
    try {
      return await inTurn(() => work(pairing?.token ?? ''));
    } catch (error) {
      if (error instanceof Unpaired) unpair();
      throw error;
    }
  };
  try {
    const answer = await asKiosk((token) => asDevice(token, 'POST', '/api/device/person', { json: secret }));
    if (answer.outcome === 'wrong_pin') return 'the number or the PIN is wrong: check the number, and type the PIN again';
    closePad();
    const { consent } = pairing ?? {};
    if (answer.outcome !== 'known' || !consent) {
      await answerWithout(answer);
      return null;
    }
    const stays = () => {
      if (answer.employee) presence.saw(answer.employee, Date.now(), view.visit);
      lastBox = null;
      if ('badge' in secret) keepShown(secret.badge);
    };
    openOwnFace({ secret, name: answer.name ?? '', enrolled: answer.enrolled ?? false, consent, stream, asKiosk, stays });
    return null;
  } catch (error) {
    if (error instanceof Problem) return explain(error);
    if (error instanceof Later) return error.limited ? 'too many PINs were typed at this kiosk: try again later' : 'the service cannot be reached: try again later';
    throw error;
  }
}

/** @param {import('./kiosk/delivery.js').Answer} answer that does not say who the person is */
async function answerWithout(answer) {
  const card = cardFor(answer, true);
  if (card) await showCard(card);
}

/* Not me */

/**
 * Offers the person to take back a punch of their face; `null` ends the offer.
 * @param {import('./kiosk/delivery.js').Punch | null} punch
 * @param {number} [since] when it was sent: the service counts from its arrival, however late the answer comes
 */
function offerNotMe(punch, since = 0) {
  const left = since + NOT_ME_MS - Date.now();
  clearTimeout(denying);
  deniable = punch && left > 0 ? punch : null;
  byId('not-me').hidden = !deniable;
  byId('not-me').textContent = deniable?.name ? `I am not ${deniable.name}` : 'This is not me';
  if (deniable) denying = setTimeout(() => offerNotMe(null), left);
}

/** @param {import('./kiosk/delivery.js').Punch} punch */
async function takeBack(punch) {
  if (!punch.id || !pairing) return;
  try {
    await asDevice(pairing.token, 'POST', `/api/punches/${punch.id}/not-me`);
  } catch (error) {
    if (error instanceof Unpaired) return unpair();
    if (!(error instanceof Problem || error instanceof Later)) throw error;
    const text = error instanceof Later ? 'The server cannot be reached. Tell your manager that this punch is not yours.' : sentence(explain(error));
    return showCard({ tone: 'bad', icon: 'alert', name: 'Not taken back', text, hold: 5000 });
  }
  presence.mistook(punch.employee);
  // A look that was under way may have punched the right person meanwhile.
  const done = deniable !== null;
  if (!done) mistaken = { id: punch.id, until: Date.now() + INSTEAD_MS };
  const next = done ? '' : ' Now punch again: look into the camera, show your badge, or use a PIN.';
  await showCard({ tone: 'warn', icon: 'info', name: 'Taken back', text: `A manager will look at it.${next}`, hold: 5000 });
  if (done) return;
  view.broken(Date.now());
  view.curious = true;
  nextTry = 0;
}

/** Returns the punch whose place the next one takes. */
const insteadOf = () => (mistaken && Date.now() < mistaken.until ? mistaken.id : undefined);

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
  let wasEmpty = false;
  for (;;) {
    await sleep(WATCH_MS);
    if (!pairing || !stream || document.hidden || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) continue;
    const now = Date.now();
    view.look(glance(video), now);
    // A new person ends earlier pauses.
    if (view.visit > lastTry && view.occupied) nextTry = Math.min(nextTry, lastTry + PAUSES_MS[0]);
    if (view.occupied === false) emptyTries = 0;
    // The next punch would not be theirs.
    if (view.occupied === false && !padIsOpen()) mistaken = null;
    // The last punch is not theirs either. Only once they leave: the scene may have been learned with a person in it.
    const empty = view.occupied === false;
    if (empty && !wasEmpty) offerNotMe(null);
    wasEmpty = empty;
    if (inviteAt > 0 && now > inviteAt) {
      inviteAt = 0;
      invite();
    }
    if (padIsOpen() || ownFaceIsOpen()) continue;
    const byHand = asked;
    if (!byHand && (now < nextTry || !(online ? view.curious || now - lastTry > STILL_MS : worthSaving(now)))) continue;
    view.curious = false;
    asked = false;
    lastTry = now;
    await attempt(() => tryPunch(byHand));
    lastTry = Date.now();
  }
}

/**
 * Runs `work` in turn, and says so if it fails.
 * @param {() => Promise<void>} work
 */
async function attempt(work) {
  try {
    await inTurn(work);
  } catch (error) {
    console.error(error);
    await showCard({ tone: 'bad', icon: 'alert', text: 'Something went wrong: try again', hold: 2500 });
    pause('long');
  }
}

/** Whether the camera may see a badge. */
const mayShowBadge = () => Boolean(pairing && stream) && !document.hidden && (!padIsOpen() || Boolean(badgeUse())) && !ownFaceIsOpen() && view.occupied !== false && Date.now() - view.movedAt < CALM_MS;

byId('now').addEventListener('click', () => (asked = true));
for (const id of /** @type {const} */ (['use-pin', 'camera-pin'])) byId(id).addEventListener('click', () => askForPin('Punch with your PIN'));
byId('my-face').addEventListener('click', askForOwnFace);
byId('not-me').addEventListener('click', () => {
  // A look that is under way may end with another punch before this one is taken back.
  const punch = deniable;
  offerNotMe(null);
  endCard();
  if (punch) attempt(() => takeBack(punch));
});
byId('camera-retry').addEventListener('click', startCamera);
navigator.mediaDevices?.addEventListener('devicechange', () => pairing && !stream && startCamera());
window.addEventListener('hashchange', () => location.hash && location.reload());
window.addEventListener('online', () => (notBefore = 0));
document.addEventListener('visibilitychange', () => !document.hidden && stream && keepAwake());
navigator.storage?.persist?.();

runClock();
watch();
watchScanners((badge) => punchWithBadge(badge, false));
watchCamera(video, mayShowBadge, (badge) => punchWithBadge(badge, true));
keepConnected();
await start();

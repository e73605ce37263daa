// What the kiosk shows: the clock, the answer for the person in front of it, the state of the connection.

import { byId, icon } from '../ui/dom.js';
import { sentence } from '../ui/form.js';
import { clockTime, dayName } from '../ui/time.js';
import { sleep } from './eyes.js';

/** The time zone of the kiosk's site; nothing until the kiosk knows it. @type {import('../ui/time.js').Zone} */
let zone;

/** Shows times in the time zone of a site, whatever that of the tablet is. @param {import('../ui/time.js').Zone} name */
export const showTimesIn = (name) => (zone = name);

/** @type {Record<string, {tone: 'in' | 'out', word: string, already: string}>} */
const KINDS = {
  in: { tone: 'in', word: 'In', already: 'Already in at' },
  out: { tone: 'out', word: 'Out', already: 'Already out at' },
  break_start: { tone: 'out', word: 'On a break', already: 'Already on a break at' },
  break_end: { tone: 'in', word: 'Back', already: 'Already back at' },
};

/**
 * @typedef {{tone: 'in' | 'out' | 'warn' | 'bad' | 'plain', icon: string, name?: string | null, text: string, hold: number}} Card
 */

/**
 * Returns the card for an answer, or `null` to show nothing.
 * @param {import('./delivery.js').Answer} answer
 * @param {boolean} asked whether the person pressed the button, so that even "no face" needs a card
 * @returns {Card | null}
 */
export function cardFor(answer, asked) {
  const { outcome, punch } = answer;
  const name = answer.name ?? punch?.name;
  const kind = KINDS[punch?.kind ?? ''] ?? KINDS.in;
  const at = punch ? clockTime(punch.at, zone) : '';
  switch (outcome) {
    case 'punched':
      return { tone: kind.tone, icon: 'check', name, text: `${kind.word} ${at}`, hold: 3000 };
    case 'cooldown':
      return { tone: 'plain', icon: 'info', name, text: `${kind.already} ${at}`, hold: 2500 };
    case 'nobody':
      // The detail says what helps a person who is enrolled, such as one with a look-alike.
      return answer.detail
        ? { tone: 'warn', icon: 'face', name: 'Not recognized', text: sentence(answer.detail), hold: 4000 }
        : { tone: 'plain', icon: 'face', name: 'Not recognized', text: 'Come closer and look into the camera. Not enrolled yet? Ask an admin.', hold: 2500 };
    case 'poor_quality':
      return { tone: 'warn', icon: 'face', text: sentence(answer.detail ?? 'look into the camera from the front'), hold: 2500 };
    case 'wrong_pin':
      return { tone: 'warn', icon: 'keypad', name: 'Not punched', text: sentence(answer.detail ?? 'the number or the PIN is wrong'), hold: 4000 };
    case 'pin_locked':
      return { tone: 'warn', icon: 'keypad', name: 'This PIN is locked', text: 'It was wrong five times in a row. It stays locked until your manager unlocks it, or until you set a new one under My account.', hold: 8000 };
    case 'unknown_badge':
      return { tone: 'warn', icon: 'badge', name: 'Badge not valid', text: 'Use your PIN or your face, or ask your manager for a new badge.', hold: 4000 };
    case 'attack':
      return { tone: 'bad', icon: 'alert', text: sentence(answer.detail ?? 'a live person is needed'), hold: 3000 };
    default:
      return asked ? { tone: 'warn', icon: 'face', text: sentence(answer.detail ?? 'no face found: stand in front of the camera'), hold: 2500 } : null;
  }
}

/**
 * Returns a sentence about the result of saved punches, or `null` if there is none.
 * @param {import('./delivery.js').Answer[]} answers
 */
export function becameOf(answers) {
  const punched = answers.filter(({ outcome }) => outcome === 'punched').length;
  const notNeeded = answers.filter(({ outcome }) => outcome === 'stayed' || outcome === 'cooldown').map(whyNotNeeded);
  const refused = answers.filter(({ outcome }) => outcome === 'refused').length;
  const unknown = answers.length - punched - notNeeded.length - refused;
  const parts = [
    punched > 0 && `${punched} punched`,
    ...new Set(notNeeded),
    unknown > 0 && `${unknown} not recognized`,
    refused > 0 && `${refused} not accepted, a manager will look at ${refused === 1 ? 'it' : 'them'}`,
  ].filter(Boolean);
  return parts.length === 0 ? null : `Saved punches: ${parts.join(' · ')}`;
}

/** @param {import('./delivery.js').Answer} answer */
function whyNotNeeded({ punch }) {
  const { already } = KINDS[punch?.kind ?? ''] ?? KINDS.in;
  const since = punch?.at ? `${punch.name ? `${punch.name} ` : ''}${already.toLowerCase()} ${clockTime(punch.at, zone)}` : 'already there';
  return `not needed: ${since}`;
}

/** Ends the card that is shown. */
let end = () => {};
export const endCard = () => end();

/**
 * Shows a card for its `hold` time.
 * @param {Card} card
 */
export async function showCard(card) {
  const answer = byId('answer');
  answer.dataset.tone = card.tone;
  byId('answer-icon').replaceChildren(icon(card.icon));
  byId('answer-name').textContent = card.name ?? '';
  byId('answer-name').hidden = !card.name;
  byId('answer-text').textContent = card.text;
  byId('spoken').textContent = [card.name, card.text].filter(Boolean).join(': ');
  answer.hidden = false;
  await Promise.race([sleep(card.hold), new Promise((resolve) => (end = () => resolve(undefined)))]);
  answer.hidden = true;
  byId('spoken').textContent = '';
}

/** @param {string} text */
export function prompt(text) {
  if (byId('prompt').textContent !== text) byId('prompt').textContent = text;
}

/** @param {boolean} on whether the kiosk is analyzing a face */
export function looking(on) {
  byId('kiosk').toggleAttribute('data-looking', on);
}

/**
 * @param {boolean} online
 * @param {number} saved
 * @param {number} refused
 */
export function showLine(online, saved, refused) {
  const line = byId('line');
  line.hidden = false;
  line.dataset.state = online ? 'online' : 'offline';
  line.textContent = online ? 'Connected' : 'No connection';
  const waiting = saved === 0 ? '' : `${saved} saved, will be checked`;
  const lost = refused === 0 ? '' : `${refused} not accepted, for a manager`;
  const words = [waiting, lost].filter(Boolean).join(' · ');
  if (byId('saved').textContent !== words) byId('saved').textContent = words;
}

/** Keeps the clock on the minute. */
export async function runClock() {
  for (;;) {
    const now = new Date();
    const clock = byId('clock');
    clock.dateTime = now.toISOString();
    clock.textContent = clockTime(now, zone);
    byId('day').textContent = dayName(now, zone);
    await sleep(1000 - now.getMilliseconds());
  }
}

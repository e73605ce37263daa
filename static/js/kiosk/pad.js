// The pad on which a person types a staff number and a PIN, with its own keys or with a keyboard.

import { byId } from '../ui/dom.js';
import { busy, sentence } from '../ui/form.js';

/** Without input for this long, the pad closes, so that nobody leaves a number for the next person. */
const IDLE_MS = 20_000;
/** The pad says so this long before. */
const WARN_MS = 8000;
const TICK_MS = 500;
const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ-./_'];
/** What staff numbers may have besides is typed on the keyboard of the tablet. */
const OWN_KEYS = 'none';
const DIGITS = [...'123456789'];

/**
 * @typedef {object} Use
 * @property {string} title
 * @property {(code: string, pin: string) => Promise<string | null>} send returns what is wrong, or `null` to close
 * @property {string} [action] what the button says, `Punch` by default
 * @property {import('./badge.js').Found} [badge] called for a badge that is shown meanwhile, instead of a punch with it alone
 * @property {() => void} [left] called if the person leaves without an answer
 */

const dialog = byId('pad');
const code = byId('pad-code');
const pin = byId('pad-pin');

/** @type {Use | null} */
let use = null;
let touchedAt = 0;
/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;
/** Where keys of the pad type. */
let field = code;

export const padIsOpen = () => dialog.open;

/** What the open pad does with a badge, if it uses one. */
export const badgeUse = () => use?.badge;

/** @param {Use} wanted */
export function openPad(wanted) {
  if (dialog.open) return;
  forget();
  use = wanted;
  byId('pad-title').textContent = wanted.title;
  byId('pad-send').textContent = wanted.action ?? 'Punch';
  showLetters(false);
  dialog.showModal();
  code.focus();
  touch();
  ticking = setInterval(tick, TICK_MS);
}

export function closePad() {
  use = null;
  if (dialog.open) dialog.close();
}

function touch() {
  touchedAt = Date.now();
  byId('pad-time').textContent = '';
}

function tick() {
  if (byId('pad-send').disabled) return touch();
  const left = touchedAt + IDLE_MS - Date.now();
  if (left <= 0) return dialog.close();
  if (left <= WARN_MS) byId('pad-time').textContent = 'This closes in a few seconds. Press any key to stay.';
}

/** @param {string} words */
function complain(words) {
  byId('pad-wrong').textContent = words;
}

/**
 * @param {HTMLInputElement} input
 * @param {string} words
 */
function lacks(input, words) {
  input.focus();
  complain(words);
}

/** @param {string} character */
function type(character) {
  complain('');
  if (field.value.length < field.maxLength) field.value += character;
  sayField();
}

function eraseLast() {
  field.value = field.value.slice(0, -1);
  sayField();
}

/** Tells a screen reader what keys of the pad have done; of a PIN only how long it is. */
function sayField() {
  const { length } = pin.value;
  byId('pad-said').textContent = field === code ? code.value : `${length} ${length === 1 ? 'digit' : 'digits'}`;
}

/** Opens the keyboard of the tablet for the staff number. */
function openKeyboard() {
  code.blur();
  code.inputMode = 'text';
  code.focus();
}

/** @param {boolean} shown whether the keys are letters */
function showLetters(shown) {
  byId('pad-digits').hidden = shown;
  byId('pad-letters').hidden = !shown;
}

/**
 * @param {string} text
 * @param {() => void} press
 * @param {string} [name]
 */
function key(text, press, name) {
  const made = Object.assign(document.createElement('button'), { type: 'button', className: 'button', textContent: text });
  if (name) made.setAttribute('aria-label', name);
  made.addEventListener('click', press);
  return made;
}

/** @param {string[]} characters */
const keys = (characters) => characters.map((character) => key(character, () => type(character)));
const erase = () => key('⌫', eraseLast, 'Delete the last character');

byId('pad-digits').append(...keys(DIGITS), key('ABC', () => showLetters(true), 'Letters'), ...keys(['0']), erase());
const space = key('Space', () => type(' '));
space.classList.add('wide-key');
byId('pad-letters').append(...keys(LETTERS), space, key('…', openKeyboard, 'Keyboard for other characters'), key('123', () => showLetters(false), 'Digits'), erase());

for (const input of [code, pin]) {
  input.addEventListener('focus', () => {
    field = input;
    // Every PIN has digits only.
    if (input === pin) showLetters(false);
  });
  input.addEventListener('input', () => complain(''));
}
for (const event of ['pointerdown', 'keydown']) dialog.addEventListener(event, touch);
// A press on a key leaves the focus in the field.
byId('pad-form').addEventListener('pointerdown', (event) => event.target instanceof HTMLButtonElement && event.preventDefault());
byId('pad-cancel').addEventListener('click', () => dialog.close());

/** Forgets what was typed, and for what. */
function forget() {
  clearInterval(ticking);
  byId('pad-form').reset();
  code.inputMode = OWN_KEYS;
  complain('');
  for (const id of /** @type {const} */ (['pad-said', 'pad-time'])) byId(id).textContent = '';
  const before = use;
  use = null;
  before?.left?.();
}

// On a slow tablet, the event can come after the pad is open for the next person.
dialog.addEventListener('close', () => dialog.open || forget());

byId('pad-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const asked = use;
  if (!asked || byId('pad-send').disabled) return;
  if (code.value.trim() === '') return lacks(code, 'Type your staff number');
  if (pin.value === '') return lacks(pin, 'Type your PIN');
  const typed = pin.value;
  complain('');
  const wrong = await busy(byId('pad-send'), () => asked.send(code.value.trim(), typed)).catch((error) => {
    console.error(error);
    return 'something went wrong: try again';
  });
  if (use !== asked) return;
  if (wrong === null) return closePad();
  pin.value = '';
  pin.focus();
  complain(sentence(wrong));
});

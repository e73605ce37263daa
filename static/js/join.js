// Where a link of an invitation leads: shows what it is for, creates the account, enrolls the person's own face, or sets
// a new password. The token is in the fragment, which browsers do not send, and is removed from the address at once.

import { Problem, isTemporary, request } from './api.js';
import { byId } from './ui/dom.js';
import './ui/enroll.js';
import { failure, onSubmit } from './ui/form.js';

/** @typedef {ApiSchema<'OfferView'>} Offer */

const token = location.hash.slice(1);
history.replaceState(null, '', location.pathname);

/** What the link is for. @type {Offer | undefined} */
let offer;

/**
 * Shows a step: its title, a line below, and the parts that belong to it.
 * @param {string} title
 * @param {string} lead
 * @param {('join-form' | 'face' | 'skip' | 'go-on')[]} [parts]
 */
function show(title, lead, parts = []) {
  byId('title').textContent = title;
  byId('lead').textContent = lead;
  document.title = `${title} · Rollcall`;
  for (const part of /** @type {const} */ (['join-form', 'face', 'skip', 'go-on'])) byId(part).hidden = !parts.includes(part);
  byId('card').removeAttribute('aria-busy');
  byId('trouble').replaceChildren();
  byId('title').focus();
}

/**
 * What to try if the link was used by a request of this page whose answer got lost, and whether the person has an account.
 * @type {{words: string, account: boolean} | undefined}
 */
let perhaps;

const ended = () =>
  perhaps
    ? show('This link was used', `Probably by you, and only the answer got lost: ${perhaps.words}. If that fails, ask the person who sent the link for a new one.`, perhaps.account ? ['go-on'] : [])
    : show('This link cannot be used', 'It was used before, has expired or was revoked, or a newer one replaces it. Ask the person who sent it for a new one.');

/** @param {unknown} error */
const isEnded = (error) => error instanceof Problem && error.code === 'invitation_ended';

/** Checks whether the service may have done what was asked for. @param {unknown} error */
const isLost = (error) => isTemporary(error) && !(error instanceof Problem && error.status === 429);

/** @param {Offer} known */
function showAccount({ name, site, purpose }) {
  byId('name').value = name;
  byId('join-submit').textContent = purpose === 'account_and_face' ? 'Create the account, then add your face' : 'Create the account';
  show(`Welcome, ${name}`, `Create your account for Rollcall${site ? ` at ${site}` : ''}: choose a password. You sign in with it and your email address.`, ['join-form']);
  byId('password').focus();
}

/** @param {Offer} known */
function showReset({ name }) {
  byId('name-field').hidden = true;
  byId('name').disabled = true;
  byId('join-submit').textContent = 'Set the password';
  show('Choose a new password', `For the account of ${name}. All browsers that are signed in now are signed out.`, ['join-form']);
  byId('password').focus();
}

/** @param {Offer} known @param {boolean} signedIn */
function showFace({ name, site, consent }, signedIn) {
  if (!consent) return ended();
  const own = { consent: consent.text, path: /** @type {const} */ ('/api/invitations/enroll'), fields: { token, consent: consent.version } };
  const element = Object.assign(document.createElement('rollcall-enroll'), { person: { id: '', name }, own });
  element.addEventListener('refused', (event) => {
    const { detail: error } = /** @type {CustomEvent<unknown>} */ (event);
    if (isEnded(error)) return ended();
    if (isLost(error)) perhaps = { words: 'look into the camera of a kiosk', account: signedIn };
  });
  element.addEventListener('enrolled', () => {
    element.remove();
    const words = `Kiosks${site ? ` at ${site}` : ''} recognize you from now on. You can withdraw your consent at any time`;
    if (signedIn) show('Your face is enrolled', `${words} on the page My account: your face is then deleted.`, ['go-on']);
    else show('Your face is enrolled', `${words}: ask your manager, and your face is deleted. You can close this page.`);
  });
  byId('face').replaceChildren(element);
  show(
    signedIn ? 'Add your face' : `Hello, ${name}`,
    `With your face, you punch in and out at a kiosk${site ? ` of ${site}` : ''}. Read what happens with it. If you agree, take three photos with this device.`,
    signedIn ? ['face', 'skip'] : ['face'],
  );
}

onSubmit(byId('join-form'), async ({ name, password }) => {
  try {
    const answer = await request('POST', '/api/invitations/accept', { json: { token, password, ...(name !== undefined && { name: name.trim() }) }, anonymous: true });
    if ('ticket' in answer) return location.replace('/sign-in?password_set=true');
  } catch (error) {
    if (isEnded(error)) return ended();
    if (isLost(error)) perhaps = { words: 'sign in with your email address and the password that you typed', account: true };
    throw error;
  }
  perhaps = undefined;
  if (offer?.purpose === 'account_and_face') showFace(offer, true);
  else location.replace('/');
});
byId('later').addEventListener('click', () => location.replace('/'));

async function begin() {
  if (!token) return show('Open the link that you received', 'It is in the message, or on the paper, with which you were invited.');
  try {
    offer = await request('POST', '/api/invitations/look', { json: { token }, anonymous: true });
    if (offer.purpose === 'password') showReset(offer);
    else if (offer.purpose === 'face') showFace(offer, false);
    else showAccount(offer);
  } catch (error) {
    if (isEnded(error)) return ended();
    show('This did not work', '');
    // The link is no longer in the address, so reloading the page would lose it.
    byId('trouble').replaceChildren(failure(error, begin));
  }
}
await begin();

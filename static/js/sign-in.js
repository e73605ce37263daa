// The sign-in page: signs in with email and password and a second step, with a passkey, or with an identity provider, then
// returns to the page that was requested.

import { Problem, explain, get, request } from './api.js';
import { byId, notice } from './ui/dom.js';
import { busy, clearErrors, onSubmit, sentence } from './ui/form.js';
import { hasPasskeys, usePasskey } from './ui/passkeys.js';

/** @typedef {ApiSchema<'ChallengeView'>} Challenge */
/** @typedef {'passkey' | 'code' | 'recovery_code'} Method */

/** Why the identity provider signed nobody in, by the code in the address. @type {Record<string, (provider: string) => string>} */
const TROUBLES = {
  oidc_unavailable: (provider) => `${provider} does not answer now. Try again in a few minutes, or sign in with your password.`,
  oidc_refused: (provider) => `${provider} did not sign you in, or you canceled it. Try again.`,
  oidc_expired: () => 'The sign-in took too long, or was begun in another browser. Try again here.',
  oidc_email_not_verified: (provider) => `${provider} has not confirmed your email address. Confirm it there, then try again.`,
  oidc_no_access: (provider) => `Your account at ${provider} may not use Rollcall. Ask an admin for access.`,
  oidc_other_person: (provider) => `The Rollcall account with your email address belongs to another person at ${provider}. Ask an admin.`,
  oidc_disabled: () => 'Your account is disabled. Ask an admin.',
  store_unavailable: () => 'Rollcall cannot reach its database now. Try again in a minute.',
};

/** What signs in after the password, with the words above it. @type {Record<Method, string>} */
const LEADS = {
  passkey: 'Your password is correct. Now use your passkey: your browser asks for your fingerprint, face or PIN.',
  code: 'Your password is correct. Now type the code that the app on your phone shows.',
  recovery_code: 'Your password is correct. Now type one of your recovery codes.',
};

/** Where the page that was requested is kept while the provider signs in. */
const NEXT = 'rollcall:next';
const kept = sessionStorage.getItem(NEXT);
sessionStorage.removeItem(NEXT);
/** The code of what failed at the provider. */
const failed = take('error');
if (take('ended')) byId('trouble').replaceChildren(notice('info', 'Your session has ended, because it was not used for a while or was ended elsewhere. Sign in to go on.'));
if (take('password_set')) byId('trouble').replaceChildren(notice('info', 'Your new password is set. Sign in with it and your second step.'));

/** Returns the address to go to, which is always on this site. */
function next() {
  const wanted = new URLSearchParams(location.search).get('next') || (failed && kept) || '/';
  try {
    const url = new URL(wanted, location.origin);
    if (url.origin === location.origin && !url.pathname.startsWith('/sign-in')) return url.pathname + url.search + url.hash;
  } catch {
    // not a valid address
  }
  return '/';
}

/** @param {string} words */
const showTrouble = (words) => byId('trouble').replaceChildren(...(words ? [notice('bad', sentence(words))] : []));

/* The first step */

onSubmit(byId('form'), async ({ email, password }) => {
  showTrouble('');
  const answer = await request('POST', '/api/session', { json: { email, password }, anonymous: true });
  if ('ticket' in answer) return askForSecondStep(answer);
  location.replace(next());
});

byId('passkey').addEventListener('click', () =>
  attempt(byId('passkey'), async () => {
    const { ticket, options } = await request('POST', '/api/session/passkey/begin', { anonymous: true });
    const credential = await usePasskey(options);
    await request('POST', '/api/session/passkey', { json: { ticket, credential }, anonymous: true });
    location.replace(next());
  }),
);

/**
 * Runs `work` for a button, and shows its error above.
 * @param {HTMLButtonElement} button
 * @param {() => Promise<void>} work
 */
async function attempt(button, work) {
  showTrouble('');
  try {
    await busy(button, work);
  } catch (error) {
    if (error instanceof Problem && error.code === 'sign_in_expired') begin();
    showTrouble(explain(error));
  }
}

/* The second step */

/** The sign-in that waits for its second step. @type {Challenge | undefined} */
let challenge;

/** @param {Challenge} asked */
function askForSecondStep(asked) {
  challenge = asked;
  byId('password').value = '';
  byId('first').hidden = true;
  byId('second').hidden = false;
  byId('title').textContent = 'Second step';
  const [first] = possible();
  choose(first ?? 'recovery_code');
}

/** The methods that this browser can use. @returns {Method[]} */
const possible = () => /** @type {Method[]} */ (challenge?.methods ?? []).filter((method) => method !== 'passkey' || (hasPasskeys() && challenge?.passkey));

/** @param {Method} method */
function choose(method) {
  const has = (/** @type {Method} */ one) => possible().includes(one);
  clearErrors(byId('second-form'));
  showTrouble('');
  byId('second-lead').textContent = LEADS[method];
  byId('second-form').hidden = method === 'passkey';
  for (const [one, field, input] of /** @type {const} */ ([['code', 'code-field', 'code'], ['recovery_code', 'recovery-field', 'recovery-code']])) {
    byId(field).hidden = method !== one;
    byId(input).disabled = method !== one;
    byId(input).value = '';
  }
  byId('use-passkey').hidden = !has('passkey');
  byId('use-passkey').classList.toggle('primary', method === 'passkey');
  byId('use-code').hidden = !has('code') || method === 'code';
  byId('use-recovery').hidden = !has('recovery_code') || method === 'recovery_code';
  byId({ passkey: /** @type {const} */ ('use-passkey'), code: /** @type {const} */ ('code'), recovery_code: /** @type {const} */ ('recovery-code') }[method]).focus();
}

/** Shows the first step again. */
function begin() {
  challenge = undefined;
  byId('second').hidden = true;
  byId('first').hidden = false;
  byId('title').textContent = 'Sign in';
  byId('password').focus();
}

/** @param {{code?: string, recovery_code?: string, credential?: any}} proof */
async function finish(proof) {
  await request('POST', '/api/session/second-factor', { json: { ticket: challenge?.ticket, ...proof }, anonymous: true });
  location.replace(next());
}

onSubmit(byId('second-form'), async (typed) => {
  showTrouble('');
  const [[field, value = ''] = ['code']] = Object.entries(typed);
  try {
    await finish({ [field]: value.replaceAll(/\s/gu, '') });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === 'sign_in_expired') {
      begin();
      return showTrouble(error.message);
    }
    if (error.code !== 'wrong_second_factor') throw error;
    const detail = field === 'recovery_code' ? 'this recovery code is not correct, or it was used before' : error.message;
    throw new Problem(error.status, { ...error.body, errors: [{ field, detail }] }, null);
  }
});

byId('use-passkey').addEventListener('click', () => attempt(byId('use-passkey'), async () => finish({ credential: await usePasskey(challenge?.passkey) })));
byId('use-code').addEventListener('click', () => choose('code'));
byId('use-recovery').addEventListener('click', () => choose('recovery_code'));
byId('again').addEventListener('click', () => {
  showTrouble('');
  begin();
});

/* What the service offers */

// The provider leads back to the start page, which leads on to the requested one.
byId('oidc').addEventListener('click', () => sessionStorage.setItem(NEXT, next()));

/** Removes a parameter from the address, so that a reload does not show it again. @param {string} name */
function take(name) {
  const url = new URL(location.href);
  const value = url.searchParams.get(name) ?? '';
  url.searchParams.delete(name);
  if (value) history.replaceState(null, '', url.pathname + url.search);
  return value;
}

/** @param {string} code @param {string} [provider] */
function explainError(code, provider = 'the identity provider') {
  if (code) showTrouble(TROUBLES[code]?.(provider) ?? 'The sign-in failed. Try again.');
}

get('/api/session/methods').then(
  ({ passkey, oidc, password_reset: sends }) => {
    byId('passkey').hidden = !passkey || !hasPasskeys();
    byId('oidc').hidden = !oidc;
    byId('oidc').textContent = oidc ? `Sign in with ${oidc.name}` : '';
    byId('forgot').hidden = !sends;
    byId('ask-admin').hidden = sends;
    explainError(failed, oidc?.name);
  },
  () => explainError(failed), // the sign-in form shows the error
);
get('/api/setup').then(
  ({ needed }) => (byId('needs-setup').hidden = !needed),
  () => {}, // the sign-in form shows the error
);

// Passkeys with Chromium's virtual authenticator: adding, the second step, signing in alone, and what is refused. The
// requests come from a page of the service, as browsers demand.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertClean } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0' });
  browser = await Browser.start('obama3');
});
afterEach(() => browser.closePages());
after(async () => {
  await browser?.end();
  await server?.end();
});

/** Opens a page of the service in a new browser profile, with an authenticator that verifies its user. */
async function open() {
  const page = await browser.page({ server });
  await page.goto('/sign-in');
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const options = {
    protocol: 'ctap2',
    transport: 'internal',
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options });
  const send = (command, more = {}) => devtools.send(`WebAuthn.${command}`, { authenticatorId, ...more });
  return { page, send };
}

/** Asks the service from the page. */
const ask = (page, method, path, body) =>
  page.evaluate(
    async ([method, path, body]) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, body: text === '' ? null : JSON.parse(text) };
    },
    [method, path, body],
  );

/** Makes a passkey with the options of the service; returns its response. */
const make = (page, options) =>
  page.evaluate(async (options) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return (await navigator.credentials.create({ publicKey })).toJSON();
  }, options);

/** Uses a passkey; returns its response. */
const use = (page, options) =>
  page.evaluate(async (options) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return (await navigator.credentials.get({ publicKey })).toJSON();
  }, options);

const credentials = { email: ADMIN.email, password: ADMIN.password };

async function signIn(page) {
  const answer = await ask(page, 'POST', '/api/session', credentials);
  if (answer.status !== 202) return answer;
  const credential = await use(page, answer.body.passkey);
  return ask(page, 'POST', '/api/session/second-factor', { ticket: answer.body.ticket, credential });
}

async function add(page, name) {
  const begun = await ask(page, 'POST', '/api/account/passkeys/begin');
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  const credential = await make(page, begun.body.options);
  return { credential, answer: await ask(page, 'POST', '/api/account/passkeys', { name, credential }) };
}

async function removeAll(page) {
  const { body } = await ask(page, 'GET', '/api/account/second-factor');
  for (const { id } of body.passkeys) assert.equal((await ask(page, 'DELETE', `/api/account/passkeys/${id}`)).status, 204);
}

test('a passkey is added once, and is the second step after the password', async () => {
  const { page, send } = await open();
  assert.equal((await signIn(page)).status, 200);
  const { credential, answer } = await add(page, 'Laptop');
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  assert.equal(answer.body.passkey.host, 'localhost');
  assert.equal(answer.body.recovery_codes.length, 10);
  const again = await ask(page, 'POST', '/api/account/passkeys', { name: 'Copy', credential });
  assert.deepEqual([again.status, again.body.code], [404, 'not_found']);
  // The authenticator does not make a second passkey for the account.
  const begun = await ask(page, 'POST', '/api/account/passkeys/begin');
  await assert.rejects(make(page, begun.body.options), /InvalidStateError|already/u);

  const first = await ask(page, 'POST', '/api/session', credentials);
  assert.equal(first.status, 202);
  assert.deepEqual(first.body.methods, ['passkey', 'recovery_code']);
  const response = await use(page, first.body.passkey);
  const second = { ticket: first.body.ticket, credential: response };
  assert.equal((await ask(page, 'POST', '/api/session/second-factor', second)).status, 200);
  const replayed = await ask(page, 'POST', '/api/session/second-factor', second);
  assert.equal(replayed.body.code, 'sign_in_expired');
  // A response belongs to its own challenge.
  const other = await ask(page, 'POST', '/api/session', credentials);
  const moved = await ask(page, 'POST', '/api/session/second-factor', { ticket: other.body.ticket, credential: response });
  assert.deepEqual([moved.status, moved.body.code], [403, 'wrong_second_factor']);

  const { body } = await ask(page, 'GET', '/api/account/second-factor');
  assert.equal(body.passkeys[0].name, 'Laptop');
  assert.ok(body.passkeys[0].used_at);
  const renamed = await ask(page, 'PATCH', `/api/account/passkeys/${body.passkeys[0].id}`, { name: 'Old laptop' });
  assert.equal(renamed.body.name, 'Old laptop');
  await removeAll(page);
  assert.equal((await ask(page, 'POST', '/api/session', credentials)).status, 200, 'the password alone is enough again');
  await send('removeVirtualAuthenticator');
  assertClean(page);
});

test('a passkey signs in alone, and only while the account has it', async () => {
  const { page } = await open();
  await signIn(page);
  await add(page, 'Phone');
  await ask(page, 'DELETE', '/api/session');
  const begun = await ask(page, 'POST', '/api/session/passkey/begin');
  assert.equal(begun.body.options.userVerification, 'required');
  const credential = await use(page, begun.body.options);
  const answer = await ask(page, 'POST', '/api/session/passkey', { ticket: begun.body.ticket, credential });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal(answer.body.account.email, ADMIN.email);
  assert.equal((await ask(page, 'GET', '/api/employees')).status, 200);
  const replayed = await ask(page, 'POST', '/api/session/passkey', { ticket: begun.body.ticket, credential });
  assert.equal(replayed.body.code, 'sign_in_expired');

  // A response of which a byte was changed.
  const next = await ask(page, 'POST', '/api/session/passkey/begin');
  const forged = await use(page, next.body.options);
  const flip = forged.response.signature.at(-3) === 'A' ? 'B' : 'A';
  forged.response.signature = forged.response.signature.slice(0, -3) + flip + forged.response.signature.slice(-2);
  const refused = await ask(page, 'POST', '/api/session/passkey', { ticket: next.body.ticket, credential: forged });
  assert.deepEqual([refused.status, refused.body.code], [403, 'wrong_second_factor']);

  await removeAll(page);
  const last = await ask(page, 'POST', '/api/session/passkey/begin');
  const removed = await use(page, last.body.options);
  const gone = await ask(page, 'POST', '/api/session/passkey', { ticket: last.body.ticket, credential: removed });
  assert.deepEqual([gone.status, gone.body.code], [403, 'wrong_second_factor']);
  assertClean(page);
});

test('a copied passkey is noticed by its signature counter', async () => {
  const { page, send } = await open();
  await signIn(page);
  await add(page, 'Key');
  const signInAlone = async () => {
    const begun = await ask(page, 'POST', '/api/session/passkey/begin');
    const credential = await use(page, begun.body.options);
    return ask(page, 'POST', '/api/session/passkey', { ticket: begun.body.ticket, credential });
  };
  assert.equal((await signInAlone()).status, 200);
  const [copy] = (await send('getCredentials')).credentials;
  assert.ok(copy.signCount > 0);
  assert.equal((await signInAlone()).status, 200);
  // The copy has the counter of an earlier moment.
  await send('removeCredential', { credentialId: copy.credentialId });
  await send('addCredential', { credential: { ...copy, signCount: copy.signCount - 1 } });
  const refused = await signInAlone();
  assert.deepEqual([refused.status, refused.body.code], [403, 'wrong_second_factor']);
  // The one after the last use is accepted.
  await send('removeCredential', { credentialId: copy.credentialId });
  await send('addCredential', { credential: { ...copy, signCount: copy.signCount + 10 } });
  assert.equal((await signInAlone()).status, 200);
  await removeAll(page);
  assertClean(page);
});

test('an authenticator that does not verify its user cannot sign in', async () => {
  const { page, send } = await open();
  await signIn(page);
  await add(page, 'Key');
  const begun = await ask(page, 'POST', '/api/session/passkey/begin');
  await send('setUserVerified', { isUserVerified: false });
  await assert.rejects(use(page, begun.body.options), /NotAllowedError|timed out or was not allowed/u);
  // A browser that ignores what the service requires.
  const lax = await use(page, { ...begun.body.options, userVerification: 'discouraged' }).catch(() => null);
  if (lax) {
    const refused = await ask(page, 'POST', '/api/session/passkey', { ticket: begun.body.ticket, credential: lax });
    assert.deepEqual([refused.status, refused.body.code], [403, 'wrong_second_factor']);
  }
  await send('setUserVerified', { isUserVerified: true });
  await removeAll(page);
  assertClean(page);
});

test('passkeys need a host name', async () => {
  const page = await browser.page();
  await page.goto(`http://127.0.0.1:${server.port}/sign-in`);
  const answer = await ask(page, 'POST', '/api/session/passkey/begin');
  assert.deepEqual([answer.status, answer.body.code], [409, 'passkeys_unavailable']);
});

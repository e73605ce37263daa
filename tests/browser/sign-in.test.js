// Signing in: the password, the second step with an app, a recovery code or a passkey, a passkey alone, a forgotten
// password, and the errors of an identity provider.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { addAuthenticator } from './support/authenticator.js';
import { Browser, assertAccessible, assertClean, picture } from './support/browser.js';
import { IdentityProvider } from './support/identity.js';
import { MailServer } from './support/mail.js';
import { ADMIN, Server } from './support/server.js';
import { totp } from './support/totp.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let mail;
let server;
let browser;
before(async () => {
  mail = await MailServer.start();
  server = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0', SMTP_URL: mail.url });
  browser = await Browser.start('hopper');
});
afterEach(() => browser.closePages());
after(async () => {
  await browser?.end();
  await server?.end();
  mail?.end();
});

/** Adds an account with an app; returns its secret and its recovery codes. */
async function addAccountWithApp(email) {
  const client = await server.addAccount({ email, role: 'viewer' });
  const { secret } = await client.ask('POST', '/api/account/totp');
  // The code before this one, so that the sign-in can use this one: each works once.
  const { recovery_codes: codes } = await client.ask('POST', '/api/account/totp/confirm', { code: totp(secret, -1) });
  return { secret, codes };
}

async function typePassword(page, email, password = ADMIN.password) {
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

/** Waits until a page that needs a session is there. */
const arrived = (page) => page.getByRole('heading', { name: 'People', level: 1 }).waitFor();

test('the second step: a code of the app, or a recovery code', async () => {
  const { secret, codes } = await addAccountWithApp('app@example.org');
  const page = await browser.page({ server });
  await page.goto('/sign-in?next=%2Fpeople');
  await typePassword(page, 'app@example.org', 'not the right one');
  await page.getByRole('alert').waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in');
  await typePassword(page, 'app@example.org');
  await page.getByRole('heading', { name: 'Second step' }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Use a passkey' }).isHidden(), 'the account has no passkey');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('Type the six digits that the app shows').waitFor();
  await page.getByLabel('Six digits').fill(totp(secret, -20));
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.locator('#code-field .field-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in-wrong-code');
  await page.getByLabel('Six digits').fill(totp(secret).replace(/(...)/u, '$1 '));
  await page.getByRole('button', { name: 'Go on' }).click();
  await arrived(page);

  // A recovery code, once.
  for (const [code, works] of [[codes[0], true], [codes[0], false]]) {
    const other = await browser.page({ server });
    await other.goto('/sign-in?next=%2Fpeople');
    await typePassword(other, 'app@example.org');
    await other.getByRole('button', { name: 'Use a recovery code' }).click();
    await other.getByLabel('Recovery code').fill(code.toLowerCase());
    await other.getByRole('button', { name: 'Go on' }).click();
    if (works) await arrived(other);
    else await other.locator('#recovery-field .field-error', { hasText: 'This recovery code is not correct' }).waitFor();
    assertClean(other);
  }
  assertClean(page);
});

test('too many wrong codes lead back to the password', async () => {
  await addAccountWithApp('guess@example.org');
  const page = await browser.page({ server });
  await page.goto('/sign-in');
  await typePassword(page, 'guess@example.org');
  await page.getByRole('heading', { name: 'Second step' }).waitFor();
  for (let tries = 0; tries < 6; tries++) {
    if (await page.getByRole('heading', { name: 'Sign in' }).isVisible()) break;
    await page.getByLabel('Six digits').fill('000000');
    const answered = page.waitForResponse('**/api/session/second-factor');
    await page.getByRole('button', { name: 'Go on' }).click();
    await answered;
  }
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByRole('alert').waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in-expired');
  assertClean(page);
});

test('a forgotten password: a link by email, the new password, and the second step', async () => {
  const { secret } = await addAccountWithApp('forgot@example.org');
  const page = await browser.page({ server });
  await page.goto('/sign-in');
  const link = page.getByRole('link', { name: 'Forgot your password?' });
  await link.waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in-with-mail');
  // Without an answer about email, the hint is the one that always helps.
  await page.route('**/api/session/methods', (route) => route.abort());
  await page.reload();
  await page.getByText('Forgot your password? Ask an admin for a link').waitFor();
  await page.unroute('**/api/session/methods');
  await page.reload();
  await link.click();
  await page.getByRole('heading', { name: 'Forgot your password?' }).waitFor();
  await page.getByRole('button', { name: 'Send the link' }).click();
  await page.getByText('Type your email address').waitFor();
  await page.getByLabel('Email').fill('forgot@example.org');
  await page.getByRole('button', { name: 'Send the link' }).click();
  await page.getByText('If an account has this address, an email with a link is on its way. The link works for 24 hours.').waitFor();
  await assertAccessible(page);
  await picture(page, 'forgot-sent');
  const { text } = await mail.letter('forgot@example.org', 'Set a new password');
  assert.match(text, /on the sign-in page/u);

  const password = 'seven green lanterns drift';
  await page.goto(/http\S+\/join#\S+/u.exec(text)[0]);
  await page.getByRole('heading', { name: 'Choose a new password' }).waitFor();
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByText('Your new password is set').waitFor();
  await typePassword(page, 'forgot@example.org', password);
  await page.getByLabel('Six digits').fill(totp(secret));
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).waitFor();
  await mail.letter('forgot@example.org', 'The password of your account was changed');
  assertClean(page);

  // The page says the same to a stranger.
  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, colorScheme, ...PHONE });
    await phone.goto('/sign-in');
    await phone.getByRole('link', { name: 'Forgot your password?' }).click();
    await phone.getByLabel('Email').fill('stranger@example.org');
    await assertAccessible(phone);
    await picture(phone, `forgot-phone-${colorScheme}`);
    await phone.getByRole('button', { name: 'Send the link' }).click();
    await phone.getByText('If an account has this address').waitFor();
    await assertAccessible(phone);
    await picture(phone, `forgot-sent-phone-${colorScheme}`);
    await phone.getByRole('link', { name: 'Back to the sign-in page' }).click();
    await phone.getByRole('heading', { name: 'Sign in' }).waitFor();
    assertClean(phone);
  }
});

test('a passkey is the second step, and signs in alone', async () => {
  const client = await server.addAccount({ email: 'key@example.org', role: 'viewer' });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/account');
  const send = await addAuthenticator(page);
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Phone');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('button', { name: 'I have saved them' }).click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();

  await page.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
  await typePassword(page, 'key@example.org');
  await page.getByRole('heading', { name: 'Second step' }).waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in-passkey');
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();

  await page.goto('/sign-in?next=%2Fpeople');
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await arrived(page);

  // A device without one.
  await page.goto('/sign-in');
  await send('clearCredentials');
  await send('setUserVerified', { isUserVerified: false });
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await page.getByText('No passkey was used').waitFor();
  assertClean(page);
});

test('a session that ended says so, and the page comes back', async () => {
  const client = await server.addAccount({ email: 'ended@example.org', role: 'viewer' });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/people');
  await arrived(page);
  await page.getByText('No people yet').waitFor();
  await client.ask('DELETE', '/api/session');
  await page.getByLabel('Search people').fill('someone');
  await page.getByText('Your session has ended').waitFor();
  await assertAccessible(page);
  await picture(page, 'sign-in-ended');
  await typePassword(page, 'ended@example.org');
  await arrived(page);

  // Who was not signed in reads nothing of that.
  const fresh = await browser.page({ server });
  await fresh.goto('/people');
  await fresh.getByLabel('Email').waitFor();
  assert.equal(await fresh.getByText('Your session has ended').count(), 0);
  assertClean(page, fresh);
});

test('the errors of an identity provider are explained once', async () => {
  const page = await browser.page({ server });
  for (const [code, words] of [
    ['oidc_unavailable', 'does not answer now'],
    ['oidc_refused', 'did not sign you in'],
    ['oidc_expired', 'took too long'],
    ['oidc_email_not_verified', 'Confirm it there'],
    ['oidc_no_access', 'Ask an admin for access'],
    ['oidc_other_person', 'belongs to another person'],
    ['oidc_disabled', 'is disabled'],
    ['store_unavailable', 'cannot reach its database'],
    ['<b>other</b>', 'The sign-in failed'],
  ]) {
    await page.goto(`/sign-in?error=${encodeURIComponent(code)}&next=%2Fpeople`);
    await page.getByRole('alert').getByText(words).waitFor();
    await page.waitForURL('**/sign-in?next=%2Fpeople');
  }
  await page.reload();
  await page.getByLabel('Email').waitFor();
  assert.equal(await page.getByRole('alert').count(), 0);
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, colorScheme, ...PHONE });
    await phone.goto('/sign-in?error=oidc_no_access');
    await phone.getByRole('alert').waitFor();
    await assertAccessible(phone);
    await picture(phone, `sign-in-phone-${colorScheme}`);
    assertClean(phone);
  }
});

test('signing in with an identity provider', async () => {
  const provider = await IdentityProvider.start();
  const other = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0', OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID: provider.id, OIDC_CLIENT_SECRET: provider.secret, OIDC_NAME: 'Example Login', OIDC_ROLES: 'hr=viewer' });
  try {
    // A person without a role is refused, in words.
    provider.person({ sub: 's1', email: 'sam@example.org', email_verified: true, name: 'Sam Stranger', groups: [] });
    const page = await browser.page({ server: other });
    await page.goto('/sign-in');
    await page.getByRole('link', { name: 'Sign in with Example Login' }).click();
    await page.getByText('Your account at Example Login may not use Rollcall').waitFor();
    await assertAccessible(page);
    await picture(page, 'sign-in-no-access');

    provider.person({ sub: 'h1', email: 'hanna@example.org', email_verified: true, name: 'Hanna', groups: ['hr'] });
    const hr = await browser.page({ server: other });
    await hr.goto('/people');
    await hr.getByRole('link', { name: 'Sign in with Example Login' }).click();
    await hr.getByRole('link', { name: 'Hanna' }).waitFor();
    await arrived(hr);
    assertClean(page, hr);
  } finally {
    await other.end();
    provider.end();
  }
});

// My account: a person changes their name and password, ends sessions, and adds a second step.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';
import { totp } from './support/totp.js';
import { addAuthenticator } from './support/authenticator.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PASSWORD = 'seven green lanterns drift';

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0', KEEP_PHOTOS: 'on' });
  browser = await Browser.start('hopper');
});
afterEach(() => browser.closePages());
after(async () => {
  await browser?.end();
  await server?.end();
});

test('name, password and sessions', async () => {
  const grace = { email: 'grace@example.org', name: 'Grace', role: 'viewer' };
  const client = await server.addAccount(grace);
  const other = await server.clientOf({ ...grace, password: ADMIN.password });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/');
  await page.getByRole('link', { name: 'Grace' }).click();
  await page.getByRole('heading', { name: 'My account', level: 1 }).waitFor();

  await page.getByLabel('Your name').fill(' ');
  await page.getByRole('button', { name: 'Save the name' }).click();
  await page.locator('.field', { hasText: 'Your name' }).locator('.field-error').waitFor();
  await page.getByLabel('Your name').fill('Grace Hopper');
  await page.getByRole('button', { name: 'Save the name' }).click();
  await page.getByText('Your name was saved').waitFor();
  await page.getByRole('link', { name: 'Grace Hopper' }).waitFor();

  // Sessions: this browser, and others that can be ended one by one.
  const rows = page.locator('[data-session]');
  await rows.first().waitFor();
  assert.equal(await rows.count(), 2);
  assert.equal(await rows.filter({ hasText: 'This browser' }).count(), 1);
  await assertAccessible(page);
  await picture(page, 'account');
  await rows.filter({ hasNotText: 'This browser' }).getByRole('button').click();
  await page.getByText('The browser is signed out').waitFor();
  await until('it is gone', async () => (await rows.count()) === 1);
  await assert.rejects(other.ask('GET', '/api/session'), /401/u);

  // The password: the present one is checked, weak ones are refused with advice.
  await page.getByLabel('Current password').fill('not this one at all');
  await page.getByLabel('New password').fill('short');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.getByText('Use at least 12 characters', { exact: true }).waitFor();
  await page.getByLabel('New password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.locator('.field', { hasText: 'Current password' }).getByText('This is not the password of your account').waitFor();
  await page.getByLabel('Current password').fill(ADMIN.password);
  await page.getByLabel('New password').fill('passwordpassword');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.locator('.field', { hasText: 'New password' }).locator('.field-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'account-weak-password');
  await page.getByLabel('New password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.getByText('Your password was changed').waitFor();
  assert.equal(await page.getByLabel('New password').inputValue(), '');
  await server.clientOf({ email: grace.email, password: PASSWORD });
  await assert.rejects(server.clientOf({ email: grace.email, password: ADMIN.password }), /401/u);

  // All others at once.
  await page.reload();
  await page.getByRole('button', { name: 'Sign out all other browsers' }).click();
  await page.getByText('All other browsers are signed out').waitFor();
  await until('they are gone', async () => (await rows.count()) === 1);
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto('/account');
    await phone.getByText('This browser').waitFor();
    await assertAccessible(phone);
    await picture(phone, `account-phone-${colorScheme}`);
    assertClean(phone);
  }
});

test('an app that shows codes, and recovery codes', async () => {
  const client = await server.addAccount({ email: 'tom@example.org', name: 'Tom', role: 'viewer' });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/account');
  await page.getByRole('button', { name: 'Add an app' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add an app' });
  const code = dialog.getByRole('img', { name: /QR code/u });
  await code.waitFor();
  await until('the picture is drawn', () => code.evaluate((image) => image.complete && image.naturalWidth > 0));
  await dialog.getByText('The app cannot scan it').click();
  const secret = (await dialog.locator('.secret-text').innerText()).replaceAll(' ', '');
  await dialog.getByLabel('Six digits').fill('12');
  await dialog.getByRole('button', { name: 'Turn it on' }).click();
  await dialog.getByText('Type the six digits').first().waitFor();
  await dialog.getByLabel('Six digits').fill(totp(secret, -20));
  await dialog.getByRole('button', { name: 'Turn it on' }).click();
  await dialog.locator('.field-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'account-app-wrong');
  await dialog.getByLabel('Six digits').fill(totp(secret));
  await dialog.getByRole('button', { name: 'Turn it on' }).click();

  const recovery = page.getByRole('dialog', { name: 'Your recovery codes' });
  const codes = (await recovery.getByLabel('Recovery codes').inputValue()).split('\n');
  assert.equal(codes.length, 10);
  await assertAccessible(page);
  await picture(page, 'account-recovery-codes');
  // Printing shows the codes alone.
  await page.evaluate(() => (window.print = () => {}));
  await recovery.getByRole('button', { name: 'Print' }).click();
  await page.emulateMedia({ media: 'print' });
  assert.ok(await page.locator('.print-alone').getByText(codes[0]).isVisible());
  assert.ok(await page.getByText('My account').first().isHidden());
  await page.emulateMedia({ media: 'screen' });
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  await recovery.getByRole('button', { name: 'I have saved them' }).click();
  await page.getByText('10 codes left').waitFor();
  const second = page.locator('section', { has: page.getByRole('heading', { name: 'Second step' }) });
  await second.getByText('On', { exact: true }).waitFor();
  await assertAccessible(page);
  await picture(page, 'account-second-step');

  await page.getByRole('button', { name: 'Generate new codes' }).click();
  await page.getByRole('dialog', { name: 'Generate new recovery codes?' }).getByRole('button', { name: 'Generate new codes' }).click();
  const fresh = (await recovery.getByLabel('Recovery codes').inputValue()).split('\n');
  assert.ok(!fresh.includes(codes[0]));
  const saved = page.waitForEvent('download');
  await recovery.getByRole('button', { name: 'Download' }).click();
  const file = await readFile(await (await saved).path(), 'utf8');
  assert.ok(fresh.every((one) => file.includes(one)), 'the file has all codes');
  // They are not lost by accident.
  const leaving = page.getByRole('dialog', { name: 'Close without saving the codes?' });
  for (const leave of [() => page.keyboard.press('Escape'), () => page.keyboard.press('Escape'), () => page.mouse.click(5, 5), () => recovery.getByRole('button', { name: 'Close' }).click()]) {
    await leave();
    await leaving.getByRole('button', { name: 'Stay' }).click();
    await leaving.waitFor({ state: 'detached' });
    await recovery.waitFor();
  }
  // A key that is pressed before the event `close` of the question has come.
  await page.keyboard.press('Escape');
  await leaving.getByRole('button', { name: 'Stay' }).evaluate(async (stay) => {
    stay.click();
    await null;
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }));
  });
  await leaving.getByRole('button', { name: 'Close' }).last().click();
  await recovery.waitFor({ state: 'detached' });

  await page.getByRole('button', { name: 'Remove the app' }).click();
  const question = page.getByRole('dialog', { name: 'Remove the app?' });
  await question.getByText('your password alone signs you in').waitFor();
  await question.getByRole('button', { name: 'Remove the app' }).click();
  await second.getByText('Off', { exact: true }).waitFor();
  assertClean(page);
});

test('passkeys', async () => {
  const client = await server.addAccount({ email: 'pat@example.org', name: 'Pat', role: 'viewer' });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/account');
  await addAuthenticator(page);
  const add = async (name) => {
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a passkey' });
    await dialog.getByRole('textbox', { name: 'Name' }).fill(name);
    await dialog.getByRole('button', { name: 'Go on' }).click();
    return dialog;
  };
  await add('Laptop');
  await page.getByRole('dialog', { name: 'Your recovery codes' }).getByRole('button', { name: 'I have saved them' }).click();
  const row = page.locator('[data-passkey]');
  await row.getByText('Laptop').waitFor();

  // The device has one already.
  const again = await add('Again');
  await again.getByText('This device already has a passkey for your account').waitFor();
  await assertAccessible(page);
  await picture(page, 'account-passkey-again');
  await again.getByRole('button', { name: 'Cancel' }).click();

  await page.getByRole('button', { name: 'Rename Laptop' }).click();
  const rename = page.getByRole('dialog', { name: 'Rename the passkey' });
  await rename.getByRole('textbox', { name: 'Name' }).fill('Old laptop');
  await rename.getByRole('button', { name: 'Save' }).click();
  await row.getByText('Old laptop').waitFor();
  await assertAccessible(page);
  await picture(page, 'account-passkeys');
  await page.getByRole('button', { name: 'Remove Old laptop' }).click();
  await page.getByRole('dialog', { name: 'Remove the passkey Old laptop?' }).getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'detached' });
  assertClean(page);
});

test('an account whose role needs a second step adds one first', async () => {
  const client = await server.addAccount({ email: 'max@example.org', name: 'Max', role: 'manager' });
  await server.ask('PUT', '/api/security-policy', { second_factor_required: ['manager'] });
  try {
    const page = await browser.page({ server: client, signedIn: true });
    await until('the policy holds', async () => client.ask('GET', '/api/employees').then(() => false, () => true));
    await page.goto('/people');
    await page.waitForURL('**/account');
    await page.getByText('Add a second step first.').waitFor();
    assert.equal(await page.getByLabel('Current password').count(), 0);
    await assertAccessible(page);
    await picture(page, 'account-must-set-up');
    await page.getByRole('button', { name: 'Add an app' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add an app' });
    await dialog.getByText('The app cannot scan it').click();
    const secret = (await dialog.locator('.secret-text').innerText()).replaceAll(' ', '');
    await dialog.getByLabel('Six digits').fill(totp(secret));
    await dialog.getByRole('button', { name: 'Turn it on' }).click();
    await page.getByRole('button', { name: 'I have saved them' }).click();
    await page.getByLabel('Current password').waitFor();
    // The last one stays.
    assert.equal(await page.getByRole('button', { name: 'Remove the app' }).count(), 0);
    await page.goto('/people');
    await page.getByRole('heading', { name: 'People', level: 1 }).waitFor();
    assertClean(page);
  } finally {
    await server.ask('PUT', '/api/security-policy', { second_factor_required: [] });
  }
});

test('mail that is not wanted', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/account?part=mail');
  await page.getByLabel('Daily summary').uncheck();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  assert.deepEqual((await server.ask('GET', '/api/account/mail')).off, ['summary']);
  // An admin who is no employee gets nothing about their own hours.
  assert.equal(await page.getByLabel('You forgot to punch out').count(), 0);
  await assertAccessible(page);
  await picture(page, 'account-mail');
  await page.reload();
  assert.ok(await page.getByLabel('Something new waits').isChecked());
  assert.ok(!(await page.getByLabel('Daily summary').isChecked()));
  assertClean(page);
});

test('mail and programs on a phone', async () => {
  for (const part of ['mail', 'tokens']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme: 'dark', ...PHONE });
    await phone.goto(`/account?part=${part}`);
    await phone.getByRole('button', { name: part === 'mail' ? 'Save' : 'Make a token' }).waitFor();
    await assertAccessible(phone);
    await picture(phone, `account-${part}-phone`);
    assertClean(phone);
  }
});

test('tokens for programs', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/account');
  await page.getByRole('link', { name: 'Programs' }).click();
  await page.getByText('You have no token').waitFor();
  await page.getByRole('button', { name: 'Make a token' }).click();
  const dialog = page.getByRole('dialog', { name: 'Make a token' });
  await dialog.getByRole('button', { name: 'Make the token' }).click();
  await dialog.getByText('Type a name').waitFor();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Payroll');
  await dialog.getByLabel('Read people, punches').uncheck();
  await dialog.getByRole('button', { name: 'Make the token' }).click();
  await dialog.locator('fieldset', { hasText: 'The program may' }).locator('.field-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'account-token');
  await dialog.getByLabel('Read people, punches').check();
  await dialog.getByRole('button', { name: 'Make the token' }).click();
  const made = page.getByRole('dialog', { name: 'Your token' });
  const token = await made.getByLabel('Token', { exact: true }).inputValue();
  const use = () => fetch(`${server.origin}/api/employees`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await use()).status, 200);
  await made.getByRole('button', { name: 'Done' }).click();
  await page.locator('[data-token]').getByText(/read · until .+ · last used/u).or(page.locator('[data-token]').getByText('never used')).waitFor();
  await assertAccessible(page);
  await picture(page, 'account-tokens');
  await page.getByRole('button', { name: 'Revoke Payroll' }).click();
  await page.getByRole('dialog', { name: 'Revoke Payroll?' }).getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('You have no token').waitFor();
  assert.equal((await use()).status, 401);
  assertClean(page);
});

test('what Rollcall has of a person', async () => {
  const person = await server.addFace('Hedy Lamarr', 'H1', 'obama');
  const client = await server.addAccount({ email: 'hedy@example.org', name: 'Hedy', role: 'employee', code: 'H1' });
  const page = await browser.page({ server: client, signedIn: true, acceptDownloads: true });
  await page.goto('/account?part=data');
  const part = (name) => page.getByRole('region', { name });

  const pin = part('PIN and badge');
  const { pin_digits: digits } = await server.site(person.site);
  await pin.getByLabel('New PIN').fill('402817359062'.slice(0, digits));
  await pin.getByRole('button', { name: 'Set the PIN' }).click();
  await pin.getByRole('button', { name: 'Change the PIN' }).waitFor();
  await assertAccessible(page);
  await picture(page, 'account-data');

  const phone = await browser.page({ server: client, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto('/account?part=data');
  await phone.getByRole('button', { name: 'Change the PIN' }).waitFor();
  await assertAccessible(phone);
  await picture(phone, 'account-data-phone');
  assertClean(phone);

  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save a copy' }).click();
  const { employee, records } = JSON.parse(await readFile(await (await saved).path(), 'utf8'));
  assert.equal(employee, person.id);
  assert.match(records.photos[0].file, /^data:image\/[a-z]+;base64,/u);

  // A photo that cannot be read is missing in the copy, which is made all the same, after the proof that the service wants.
  let asked = false;
  await page.route('**/api/me/files/**', (route) => {
    const [status, code, detail] = asked ? [404, 'not_found', 'there is no such file'] : [403, 'confirmation_required', 'confirm that it is you'];
    asked = true;
    return route.fulfill({ status, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Refused', status, code, detail }) });
  });
  const without = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save a copy' }).click();
  await page.getByLabel('Your password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Confirm' }).click();
  const incomplete = JSON.parse(await readFile(await (await without).path(), 'utf8'));
  assert.equal(incomplete.records.photos[0].file, null);
  await page.getByText('The copy was saved without 1 picture').waitFor();

  await page.getByRole('button', { name: 'Ask to be erased' }).click();
  await page.getByRole('dialog', { name: 'Ask to be erased?' }).getByRole('button', { name: 'Ask to be erased' }).click();
  await page.getByRole('button', { name: 'Withdraw the request' }).click();
  await page.getByRole('button', { name: 'Ask to be erased' }).waitFor();

  const face = part('Face');
  await face.getByText('What you agreed to').click();
  await face.getByText('I agree that photos of my face').waitFor();
  await face.getByRole('button', { name: 'Withdraw and delete my face' }).click();
  const question = page.getByRole('dialog', { name: 'Withdraw your consent?' });
  await picture(page, 'account-withdraw');
  await question.getByRole('button', { name: 'Withdraw' }).click();
  await face.getByText('No face').waitFor();
  assert.equal((await server.ask('GET', `/api/employees/${person.id}`)).enrolled, false);
  assertClean(page);
});

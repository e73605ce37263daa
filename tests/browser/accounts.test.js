// Accounts: an admin finds, changes, disables and removes accounts, and confirms who they are where that is asked for.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';
import { totp } from './support/totp.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0' });
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

const accounts = () => server.list('/api/accounts');
const accountOf = async (email) => (await accounts()).find((one) => one.email === email);

/** Answers the next request of a method as after 15 minutes: the service does not make it before a confirmation. */
async function unconfirmed(page, method, address) {
  let asked = false;
  await page.route(address, async (route) => {
    if (asked || route.request().method() !== method) return route.fallback();
    asked = true;
    const body = { type: 'about:blank', title: 'Confirm that it is you', status: 403, code: 'confirmation_required', detail: 'confirm that it is you' };
    return route.fulfill({ status: 403, contentType: 'application/problem+json', body: JSON.stringify(body) });
  });
}

test('accounts are found, changed, disabled and removed', async () => {
  await server.addSite('Harbor', 'Europe/Berlin');
  const grace = await server.addEmployee('Grace Hopper', 'P01');
  await server.addAccount({ email: 'mona@example.org', name: 'Mona Manager', role: 'manager', site: 'Harbor' });
  await server.addAccount({ email: 'vera@example.org', name: 'Vera Viewer', role: 'viewer' });

  const page = await browser.page({ server, signedIn: true });
  await page.goto('/');
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Accounts' }).click();
  const row = (name) => page.getByRole('row', { name: new RegExp(name, 'u') });
  await row('Mona Manager').getByRole('cell', { name: 'Manager of Harbor' }).waitFor();
  await row('ada@example').getByText('(you)').waitFor();
  await assertAccessible(page);
  await picture(page, 'accounts');

  // Filters are part of the address.
  await page.getByLabel('Role').selectOption('Viewer');
  await row('Mona Manager').waitFor({ state: 'detached' });
  await row('Vera Viewer').waitFor();
  await page.reload();
  await row('Vera Viewer').waitFor();
  assert.equal(await row('Mona Manager').count(), 0);
  await page.getByLabel('Role').selectOption('All roles');
  await page.getByLabel('Search by name or address').fill('mona@');
  await row('Vera Viewer').waitFor({ state: 'detached' });
  await page.getByLabel('Search by name or address').fill('nobody');
  await page.getByText('No account fits').waitFor();
  await page.getByLabel('Search by name or address').fill('');

  // Another role with a link to an employee. What is missing is said beside its field.
  await page.getByRole('button', { name: 'Manage Vera Viewer' }).click();
  const sheet = page.getByRole('dialog', { name: 'Vera Viewer' });
  await sheet.getByRole('button', { name: 'Add a role' }).click();
  await sheet.getByLabel('Role 2', { exact: true }).selectOption('Employee');
  await sheet.getByRole('button', { name: 'Save' }).click();
  await sheet.locator('.field', { hasText: 'Employee' }).locator('.field-error').first().waitFor();
  await assertAccessible(page);
  await picture(page, 'accounts-sheet-refused');
  await sheet.getByLabel('Search employees by name or staff number').fill('grace');
  await sheet.getByRole('button', { name: 'Link Grace Hopper P01' }).click();
  await sheet.getByRole('button', { name: 'Save' }).click();
  await until('it is saved', async () => (await accountOf('vera@example.org')).grants.length === 2);
  const vera = await accountOf('vera@example.org');
  assert.deepEqual([vera.employee.id, vera.grants.map(({ role, scope }) => [role, scope]).sort()], [grace.id, [['employee', 'own'], ['viewer', 'everything']]]);

  // Disabling asks first, and names what it does.
  await sheet.getByRole('button', { name: 'Disable the account' }).click();
  const question = page.getByRole('dialog', { name: 'Disable the account of Vera Viewer?' });
  await question.getByText('signed out everywhere at once').waitFor();
  await picture(page, 'accounts-disable');
  await question.getByRole('button', { name: 'Disable' }).click();
  await sheet.getByText('Disabled', { exact: true }).waitFor();
  await sheet.getByRole('button', { name: 'Enable the account' }).click();
  await sheet.getByText('Active', { exact: true }).waitFor();
  await sheet.getByRole('button', { name: 'Remove the account' }).click();
  await page.getByRole('dialog', { name: 'Remove the account of Vera Viewer?' }).getByRole('button', { name: 'Remove the account' }).click();
  await row('Vera Viewer').waitFor({ state: 'detached' });
  await page.getByText('The account of Vera Viewer was removed').waitFor();
  assert.equal(await accountOf('vera@example.org'), undefined);

  // The last admin stays.
  await page.locator('tr', { hasText: '(you)' }).getByRole('button').click();
  const own = page.locator('dialog.sheet');
  await own.getByLabel('Role 1', { exact: true }).selectOption('Viewer');
  await own.getByRole('button', { name: 'Save' }).click();
  await own.locator('.form-error, .field-error').first().waitFor();
  await picture(page, 'accounts-last-admin');
  assert.equal((await accountOf(ADMIN.email)).grants[0].role, 'admin');
  assertClean(page);
});

test('a person with an app confirms with the password and a code', async () => {
  const client = await server.addAccount({ email: 'second@example.org', name: 'Sara Second', role: 'admin' });
  const { secret } = await client.ask('POST', '/api/account/totp');
  await client.ask('POST', '/api/account/totp/confirm', { code: totp(secret, -1) });
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/accounts');
  await unconfirmed(page, 'PATCH', '**/api/accounts/*');
  await page.getByRole('button', { name: 'Manage Sara Second' }).click();
  const sheet = page.getByRole('dialog', { name: 'Sara Second' });
  await sheet.getByRole('textbox', { name: 'Name' }).fill('Sara Sure');
  await sheet.getByRole('button', { name: 'Save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Confirm that it is you' });
  await dialog.getByLabel('Your password').fill(ADMIN.password);
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  const code = dialog.getByLabel('Six digits of your app, or a recovery code');
  await code.fill(totp(secret, -20));
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await dialog.locator('.form-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'confirm-second-step');
  await code.fill(totp(secret));
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await dialog.waitFor({ state: 'detached' });
  await until('the change is made', async () => (await accountOf('second@example.org')).name === 'Sara Sure');
  assertClean(page);
});

test('a risky change asks for the password again, and is then made', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts');
  await unconfirmed(page, 'PATCH', '**/api/accounts/*');
  await page.getByRole('button', { name: 'Manage Mona Manager' }).click();
  const sheet = page.getByRole('dialog', { name: 'Mona Manager' });
  await sheet.getByRole('textbox', { name: 'Name' }).fill('Mona Müller');
  await sheet.getByRole('button', { name: 'Save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Confirm that it is you' });
  await dialog.getByLabel('Your password').fill('not this one at all');
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await dialog.locator('.field-error').waitFor();
  await assertAccessible(page);
  await picture(page, 'confirm-wrong');
  await dialog.getByLabel('Your password').fill(ADMIN.password);
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await dialog.waitFor({ state: 'detached' });
  await until('the change is made', async () => (await accountOf('mona@example.org')).name === 'Mona Müller');
  await page.getByRole('dialog', { name: 'Mona Müller' }).waitFor();

  // Who cancels changes nothing, and reads so. An older page asks in the same way.
  await server.addEmployee('Carl Cancel', 'C1');
  await page.goto('/people');
  await unconfirmed(page, 'DELETE', '**/api/employees/*');
  await page.getByRole('link', { name: /Carl Cancel/u }).click();
  await page.getByRole('button', { name: 'Delete this person' }).click();
  await page.getByRole('dialog', { name: 'Delete Carl Cancel?' }).getByRole('button', { name: 'Delete this person' }).click();
  await dialog.getByLabel('Your password').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('Nothing was changed, because you did not confirm that it is you').waitFor();
  assert.equal((await server.list('/api/employees')).filter(({ name }) => name === 'Carl Cancel').length, 1);
  assertClean(page);
});

test('accounts and the menu on a phone, light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto('/');
    const menu = phone.getByRole('button', { name: /^Menu/u });
    const pages = phone.getByRole('navigation', { name: 'Pages' });
    assert.ok(await pages.isHidden(), 'the menu is closed at first');
    await menu.click();
    await assertAccessible(phone);
    await picture(phone, `menu-phone-${colorScheme}`);
    await phone.keyboard.press('Escape');
    await pages.waitFor({ state: 'hidden' });
    await menu.click();
    await pages.getByRole('link', { name: 'Accounts' }).click();
    await phone.getByRole('button', { name: /^Manage Mona/u }).waitFor();
    await assertAccessible(phone);
    await picture(phone, `accounts-phone-${colorScheme}`);
    await phone.getByRole('button', { name: /^Manage Mona/u }).click();
    await phone.getByRole('button', { name: 'Disable the account' }).waitFor();
    await assertAccessible(phone);
    await picture(phone, `accounts-phone-sheet-${colorScheme}`);
    assertClean(phone);
  }
});

test('an admin revokes the token of another account', async () => {
  const client = await server.addAccount({ email: 'pia@example.org', name: 'Pia Payroll', role: 'viewer' });
  const { token } = await client.ask('POST', '/api/tokens', { name: 'Payroll', permissions: ['read'] });
  const use = () => fetch(`${server.origin}/api/employees`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await use()).status, 200);
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts?part=tokens');
  await page.locator('[data-token]', { hasText: 'pia@example.org' }).getByText('read', { exact: false }).first().waitFor();
  await assertAccessible(page);
  await picture(page, 'accounts-tokens');
  await page.getByRole('button', { name: 'Revoke Payroll' }).click();
  await page.getByRole('dialog', { name: 'Revoke Payroll?' }).getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('No account has a token').waitFor();
  assert.equal((await use()).status, 401);
  assertClean(page);
});

test('roles that need a second step, and a person who lost theirs', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts?part=policy');
  await page.getByRole('checkbox', { name: 'Viewer' }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  assert.deepEqual((await server.ask('GET', '/api/security-policy')).second_factor_required, ['viewer']);
  await assertAccessible(page);
  await picture(page, 'accounts-policy');
  await page.getByRole('checkbox', { name: 'Viewer' }).uncheck();
  await page.getByRole('button', { name: 'Save' }).click();
  await until('it is off', async () => (await server.ask('GET', '/api/security-policy')).second_factor_required.length === 0);

  const client = await server.addAccount({ email: 'lost@example.org', name: 'Lotte Lost', role: 'viewer' });
  const { secret } = await client.ask('POST', '/api/account/totp');
  await client.ask('POST', '/api/account/totp/confirm', { code: totp(secret) });
  await page.goto('/accounts');
  await page.getByRole('button', { name: 'Manage Lotte Lost' }).click();
  await page.getByRole('button', { name: 'Remove the second step' }).click();
  const question = page.getByRole('dialog', { name: 'Remove the second step of Lotte Lost?' });
  await question.getByText('Make sure that it is really Lotte Lost who asks').waitFor();
  await question.getByRole('button', { name: 'Remove the second step' }).click();
  await page.getByText('The second step of Lotte Lost was removed').waitFor();
  const again = await server.clientOf({ email: 'lost@example.org', password: ADMIN.password });
  assert.equal((await again.ask('GET', '/api/account/second-factor')).totp, null);
  assertClean(page);
});

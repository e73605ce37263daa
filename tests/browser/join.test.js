// Links of invitations: a person creates an account, enrolls their own face on their phone, and chooses a new password. An
// admin and a manager make the links.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, changed, picture, until } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PASSWORD = 'seven green lanterns drift';

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ SIGN_IN_LIMIT: '0' });
  browser = await Browser.start('obama');
});
afterEach(() => browser.closePages());
after(async () => {
  await browser?.end();
  await server?.end();
});

const invite = (body) => server.ask('POST', '/api/invitations', body);
const invitations = () => server.list('/api/invitations');

/** Opens a link on a phone without a session. */
async function open(link, options = {}) {
  const page = await browser.page({ server, ...PHONE, ...options });
  await page.goto(link);
  return page;
}

/** Reads the QR code in an image as a phone does. */
const readCode = (image) =>
  image.evaluate(async (node) => {
    const { decodeQR } = await import('/static/vendor/qr/decode.js');
    await node.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: node.naturalWidth, height: node.naturalHeight });
    const drawing = canvas.getContext('2d');
    drawing.drawImage(node, 0, 0);
    return decodeQR(drawing.getImageData(0, 0, canvas.width, canvas.height));
  });

/** Fails unless a link says that it cannot be used, and nothing more. */
async function assertEnded(link) {
  const page = await open(link);
  await page.getByRole('heading', { name: 'This link cannot be used' }).waitFor();
  assert.equal(await page.locator('main input:visible').count(), 0);
  await assertAccessible(page);
  assertClean(page);
}

/** Enrolls with a link whose first answer gets lost: a person without an account is not sent to the sign-in page. */
async function assertLost({ link }) {
  const page = await open(link);
  await page.getByLabel('I agree').check();
  await page.locator('input[type="file"]').setInputFiles([{ name: 'one.jpg', mimeType: 'image/jpeg', buffer: await changed('obama', 'null') }]);
  await page.route('**/api/invitations/enroll', async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  const send = page.getByRole('button', { name: 'Send 1 photo' });
  await send.click();
  await page.getByRole('alert').getByText('cannot be reached').waitFor();
  await send.click();
  await page.getByRole('heading', { name: 'This link was used' }).waitFor();
  await page.getByText('look into the camera of a kiosk').waitFor();
  assert.ok(await page.getByRole('link', { name: 'Go to Rollcall' }).isHidden());
}

test('an admin invites, and the person creates their account once', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts?part=invitations');
  await page.getByText('No invitation is open').waitFor();
  await page.getByRole('button', { name: 'Invite' }).click();
  const dialog = page.getByRole('dialog', { name: 'Invite' });
  await dialog.getByLabel('Role 1', { exact: true }).selectOption('Viewer');
  await dialog.getByLabel('Email address').fill('grace@example.org');
  await dialog.getByRole('button', { name: 'Invite', exact: true }).click();
  await dialog.getByText('Type a name').waitFor();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Grace');
  await assertAccessible(page);
  await picture(page, 'invite');
  await dialog.getByRole('button', { name: 'Invite', exact: true }).click();
  const made = page.getByRole('dialog', { name: 'Grace is invited' });
  await made.getByText('Rollcall did not send it').waitFor();
  const link = await made.getByLabel('Link', { exact: true }).inputValue();
  assert.match(link, new RegExp(`^${server.origin}/join#.{20,}$`, 'u'));
  assert.equal(await readCode(made.getByAltText('QR code of the link')), link);
  // The server of the tests is at localhost.
  await made.getByText('This link works only on this computer').waitFor();
  await assertAccessible(page);
  await picture(page, 'invited');
  await made.getByRole('button', { name: 'Done' }).click();
  const row = page.locator('[data-invitation]', { hasText: 'Grace' });
  await row.getByText('Account · Viewer · grace@example.org').waitFor();
  await assertAccessible(page);
  await picture(page, 'invitations');

  const person = await open(link);
  await person.getByRole('heading', { name: 'Welcome, Grace' }).waitFor();
  await person.waitForFunction(() => location.hash === '');
  assert.equal(await person.getByLabel('Your name').inputValue(), 'Grace');
  await person.getByLabel('Your name').fill('Grace Hopper');
  await person.getByLabel('Password').fill('short');
  await person.getByRole('button', { name: 'Create the account' }).click();
  await person.getByText('Use at least 12 characters', { exact: true }).waitFor();
  await person.getByLabel('Password').fill('grace@example.org');
  await person.getByRole('button', { name: 'Create the account' }).click();
  await person.locator('.field-error').waitFor();
  await assertAccessible(person);
  await picture(person, 'join-weak');
  await person.getByLabel('Password').fill(PASSWORD);
  await person.getByRole('button', { name: 'Create the account' }).click();
  await person.getByRole('link', { name: 'Grace Hopper' }).waitFor();
  await server.clientOf({ email: 'grace@example.org', password: PASSWORD });
  await assertEnded(link);
  assertClean(page, person);
});

test('links are replaced and revoked', async () => {
  // More than a page of the list shows at first.
  await Promise.all(Array.from({ length: 110 }, (_, number) => invite({ email: `p${number}@example.org`, name: `Person ${number}`, grants: [{ role: 'viewer' }] })));
  const { link } = await invite({ email: 'rita@example.org', name: 'Rita', grants: [{ role: 'viewer' }] });
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts?part=invitations');
  await page.getByRole('button', { name: 'Show more' }).waitFor();
  // What failed is said beside the button for more, and above the list if that is what could not be read.
  await page.route('**/api/invitations?*', (route) => route.abort());
  const place = (above) => page.locator(above ? '[role="alert"] ~ .card [data-invitation]' : '.card ~ [role="alert"]').first().waitFor();
  await Promise.all([place(false), page.getByRole('button', { name: 'Show more' }).click()]);
  await page.getByRole('button', { name: 'Try again' }).click();
  await place(true);
  await page.unroute('**/api/invitations?*');
  await page.reload();
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.getByRole('button', { name: 'Show more' }).waitFor({ state: 'detached' });
  const all = await page.locator('[data-invitation]').count();
  const row = page.locator('[data-invitation]', { hasText: 'Rita' });
  await row.getByRole('button', { name: 'Create a new link for Rita' }).click();
  const dialog = page.getByRole('dialog', { name: 'New link' });
  const fresh = await dialog.getByLabel('Link', { exact: true }).inputValue();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await assertEnded(link);
  const looked = await open(fresh);
  await looked.getByRole('heading', { name: 'Welcome, Rita' }).waitFor();
  await row.getByRole('button', { name: 'Revoke the invitation of Rita' }).click();
  await page.getByRole('dialog', { name: 'Revoke this invitation?' }).getByRole('button', { name: 'Revoke' }).click();
  await row.waitFor({ state: 'detached' });
  assert.equal(await page.locator('[data-invitation]').count(), all - 1);
  await assertEnded(fresh);
  await assertEnded('/join#no-such-token');
  const none = await open('/join');
  await none.getByRole('heading', { name: 'Open the link that you received' }).waitFor();
  assertClean(page, looked, none);
});

test('a person enrolls their own face on their phone, light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const person = await server.addEmployee(`Barack ${colorScheme}`, `P-${colorScheme}`);
    const { link } = await invite({ employee: person.id, enroll: true });
    const phone = await open(link, { colorScheme });
    await phone.getByRole('heading', { name: `Hello, Barack ${colorScheme}` }).waitFor();
    await assertAccessible(phone);
    await picture(phone, `join-face-${colorScheme}`);

    // Photos that cannot be used say why, and do not use the link up.
    assert.ok(await phone.getByRole('button', { name: /Use the camera/u }).isHidden(), 'first the consent');
    await phone.getByLabel('I agree').check();
    const buffer = await changed('obama', 'split[a][b];[a][b]hstack');
    await phone.locator('input[type="file"]').setInputFiles([{ name: 'two.jpg', mimeType: 'image/jpeg', buffer }]);
    const send = phone.getByRole('button', { name: /^Send \d photo/u });
    await phone.getByLabel('I agree').uncheck();
    assert.ok(await send.isDisabled(), 'nothing is sent without consent');
    await phone.getByLabel('I agree').check();
    await send.click();
    await phone.locator('.shot.bad', { hasText: 'Two faces' }).waitFor();
    await phone.getByRole('alert').waitFor();
    await assertAccessible(phone);
    await picture(phone, `join-face-refused-${colorScheme}`);

    // The camera of the phone.
    await phone.getByRole('button', { name: /Use the camera/u }).click();
    for (let photo = 1; photo <= 3; photo++) {
      await phone.getByRole('button', { name: 'Take the photo' }).click();
      await until('the photo is there', async () => (await phone.locator('.shot').count()) === photo + 1);
    }
    await picture(phone, `join-camera-${colorScheme}`);
    await phone.getByRole('button', { name: 'Send 3 photos' }).click();
    await phone.getByRole('heading', { name: 'Your face is enrolled' }).waitFor();
    await assertAccessible(phone);
    await picture(phone, `join-done-${colorScheme}`);
    assert.equal((await server.ask('GET', `/api/employees/${person.id}`)).enrolled, true);
    await assertEnded(link);
    if (colorScheme === 'light') await assertLost(await invite({ employee: person.id, enroll: true }));
    assertClean(phone);
    await server.ask('DELETE', `/api/employees/${person.id}`);
  }
});

test('an account and the own face with one link, and a face of another person', async () => {
  const hedy = await server.addEmployee('Hedy Lamarr', 'H1');
  const { link } = await invite({ email: 'hedy@example.org', employee: hedy.id, grants: [{ role: 'employee' }], enroll: true });
  const phone = await open(link);
  await phone.getByLabel('Password').fill(PASSWORD);
  await phone.getByRole('button', { name: 'Create the account, then add your face' }).click();
  await phone.getByRole('heading', { name: 'Add your face' }).waitFor();
  await picture(phone, 'join-add-face');

  // The face belongs to another person: whose is not said.
  const other = await server.addFace('Secret Name', 'S1', 'obama');
  await phone.getByLabel('I agree').check();
  await phone.getByRole('button', { name: /Use the camera/u }).click();
  await phone.getByRole('button', { name: 'Take the photo' }).click();
  await phone.locator('.shot').waitFor();
  await phone.getByRole('button', { name: 'Send 1 photo' }).click();
  await phone.getByRole('alert').getByText('is enrolled for another person').waitFor();
  assert.equal(await phone.getByText('Secret Name').count(), 0);
  await server.ask('DELETE', `/api/employees/${other.id}`);
  await phone.getByRole('button', { name: 'Send 1 photo' }).click();
  await phone.getByRole('heading', { name: 'Your face is enrolled' }).waitFor();
  await phone.getByRole('link', { name: 'Go to Rollcall' }).click();
  await phone.getByRole('link', { name: 'Hedy Lamarr' }).waitFor();
  await assertEnded(link);
  assertClean(phone);
});

test('a forgotten password', async () => {
  await server.addAccount({ email: 'fred@example.org', name: 'Fred', role: 'viewer' });
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/accounts');
  await page.getByRole('button', { name: 'Manage Fred' }).click();
  const sheet = page.getByRole('dialog', { name: 'Fred' });
  await sheet.getByRole('button', { name: 'Create a link' }).click();
  const link = await sheet.getByLabel('Link', { exact: true }).inputValue();
  await assertAccessible(page);
  await picture(page, 'accounts-reset-link');
  const person = await open(link);
  await person.getByRole('heading', { name: 'Choose a new password' }).waitFor();
  assert.ok(await person.getByLabel('Your name').isHidden());
  await person.getByLabel('Password').fill(PASSWORD);
  await picture(person, 'join-reset');
  await person.getByRole('button', { name: 'Set the password' }).click();
  await person.getByRole('link', { name: 'Fred' }).waitFor();
  await server.clientOf({ email: 'fred@example.org', password: PASSWORD });
  await assert.rejects(server.clientOf({ email: 'fred@example.org', password: ADMIN.password }), /401/u);
  await assertEnded(link);
  assertClean(page, person);
});

test('a manager invites only employees, to their own hours', async () => {
  const client = await server.addAccount({ email: 'mona@example.org', name: 'Mona', role: 'manager' });
  await server.addEmployee('Nora New', 'N1');
  const page = await browser.page({ server: client, signedIn: true });
  await page.goto('/people');
  await page.getByRole('link', { name: /Nora New/u }).click();
  await page.getByRole('link', { name: 'Create a link with which they enroll their own face' }).click();
  const face = page.getByRole('dialog', { name: 'Invite' });
  await face.getByRole('button', { name: 'Unlink Nora New' }).waitFor();
  await face.getByRole('button', { name: 'Invite', exact: true }).click();
  await page.getByRole('dialog', { name: 'Nora New is invited' }).getByRole('button', { name: 'Done' }).click();
  await page.getByText('Own face · employee N1').waitFor();
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Accounts' }).click();
  await page.getByRole('button', { name: 'Invite' }).click();
  const dialog = page.getByRole('dialog', { name: 'Invite' });
  await dialog.getByLabel('Search employees by name or staff number').fill('nora');
  assert.equal(await dialog.getByLabel('Role 1', { exact: true }).count(), 0);
  await dialog.getByRole('button', { name: 'Link Nora New N1' }).click();
  await dialog.getByLabel('Email address').fill('nora@example.org');
  await dialog.getByLabel('also enrolls their own face').check();
  await dialog.getByRole('button', { name: 'Invite', exact: true }).click();
  await page.getByRole('dialog', { name: 'Nora New is invited' }).getByRole('button', { name: 'Done' }).click();
  await page.getByText('Account and own face · Employee · employee N1 · nora@example.org').waitFor();
  const [made] = (await invitations()).filter(({ email }) => email === 'nora@example.org');
  assert.deepEqual(made.grants.map(({ role, scope }) => [role, scope]), [['employee', 'own']]);
  assert.equal(await page.getByRole('navigation', { name: 'Parts of the accounts' }).count(), 0);
  await assertAccessible(page);
  await picture(page, 'invitations-manager');
  assertClean(page);
});

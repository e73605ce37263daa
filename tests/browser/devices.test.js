// Devices: what a kiosk reports, what to do about it, and pairing again with a code.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ DEVICE_TOKEN_AGE: '20d' });
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

/** Sends a request as a device. */
async function asDevice(token, method, url, body) {
  const response = await fetch(server.origin + url, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status: response.status, json: await response.json() };
}

test('the page shows what a kiosk reports, and says what to do about it', async () => {
  const device = await server.addDevice('Front door');
  const report = { version: '0.1.0', unsent: 3, refused: 1, now: new Date(Date.now() - 3 * 60_000).toISOString(), camera: 'off' };
  assert.equal((await asDevice(device.token, 'POST', '/api/device/status', report)).status, 200);
  const page = await browser.page({ server, signedIn: true });
  // A kiosk is silent after 15 minutes only, so the test says that it is.
  await page.route('**/api/devices?*', async (route) => {
    const answer = await route.fetch();
    const { items, next } = await answer.json();
    await route.fulfill({ response: answer, json: { items: items.map((one) => ({ ...one, silent: one.id === device.id })), next } });
  });
  await page.goto('/devices');
  const row = page.locator(`[data-device="${device.id}"]`);
  for (const words of ['Silent', 'Camera off', '3 saved', '1 refused', 'Clock 3 min behind', /^Token ends /u]) await row.getByText(words).waitFor();
  await row.getByText(/^added .* · seen .* · version 0\.1\.0$/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'devices');

  // The address of a notice leads to it.
  await page.goto(`/devices?device=${device.id}`);
  const dialog = page.getByRole('dialog', { name: 'Change the device' });
  await dialog.getByText(/^It has sent nothing for 15 minutes/u).waitFor();
  await dialog.getByText(/^It saved 3 punches while it could not reach Rollcall/u).waitFor();
  await dialog.getByText(/^The kiosk still keeps 1 saved punch that Rollcall did not accept, and hands it over\./u).waitFor();
  await dialog.getByText(/^Its token ends soon\. The kiosk renews it by itself/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'device-facts');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await page.waitForURL((url) => !url.searchParams.has('device'));

  // A manager sees how it is, and changes nothing.
  const manager = await server.addAccount({ email: 'mona@example.org', role: 'manager' });
  const phone = await browser.page({ server: manager, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto(`/devices?device=${device.id}`);
  await phone.getByText('Camera off').waitFor();
  assert.equal(await phone.getByRole('button', { name: /^(Change|Revoke|Add)/u }).count(), 0);
  await assertAccessible(phone);
  await picture(phone, 'devices-phone-dark');
  await server.revokeDevice(device);
  assertClean(page, phone);
});

test('a device is added with a link that is shown once, and revoked', async () => {
  // Only admins add devices; a manager reads whom to ask.
  const manager = await server.addAccount({ email: 'max@example.org', role: 'manager' });
  const other = await browser.page({ server: manager, signedIn: true });
  await other.goto('/devices');
  await other.getByText('Ask an admin to add one').waitFor();
  assert.equal(await other.getByRole('button', { name: 'Add a device' }).count(), 0);

  const page = await browser.page({ server, signedIn: true });
  await page.goto('/devices');
  await page.getByText('Open /kiosk on it, then add it here').waitFor();
  await page.getByRole('button', { name: 'Add a device' }).click();
  const form = page.getByRole('dialog', { name: 'Add a device' });
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await form.getByText('Type a name').waitFor();
  await form.getByLabel('Name').fill('Gate camera');
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  const shown = page.getByRole('dialog', { name: 'Pair the kiosk' });
  const token = await shown.getByLabel('Access token, for cameras or other software').inputValue();
  assert.equal(await shown.getByLabel('Pairing link').inputValue(), `${server.origin}/kiosk#${token}`);
  await shown.getByText(/^This link does not work on a tablet/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'device-link');
  await shown.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('Pairing link').waitFor({ state: 'detached' });
  assert.equal((await page.content()).includes(token), false);
  assert.equal((await asDevice(token, 'GET', '/api/device')).status, 200);
  await page.locator('#devices').getByText(/never seen|seen /u).waitFor();
  // What a kiosk has saved is lost with its pairing.
  const report = { version: '1.0.0', unsent: 2, refused: 0, now: new Date().toISOString(), camera: 'on' };
  assert.equal((await asDevice(token, 'POST', '/api/device/status', report)).status, 200);
  await page.reload();
  await page.getByRole('button', { name: 'Revoke Gate camera' }).click();
  const question = page.getByRole('dialog', { name: 'Revoke Gate camera?' });
  await question.getByText(/^It has 2 punches saved that were not sent yet: they stay on the tablet/u).waitFor();
  await picture(page, 'device-revoke');
  await question.getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('Gate camera was revoked').waitFor();
  await page.getByText('No devices yet').waitFor();
  assert.equal((await asDevice(token, 'GET', '/api/device')).status, 401);
  assertClean(page, other);
});

test('a device is paired again with a code, after a look at who asked for it', async () => {
  const device = await server.addDevice('Reception');
  const asked = await fetch(`${server.origin}/api/pairings`, { method: 'POST' });
  const { code, secret } = await asked.json();
  const page = await browser.page({ server, signedIn: true, ...PHONE });
  await page.goto('/devices');
  await page.getByRole('button', { name: 'Change Reception' }).click();
  const form = page.getByRole('dialog', { name: 'Change the device' });
  await form.getByLabel(/^Code/u).fill('0000-0000');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('No kiosk shows this code').waitFor();
  await form.getByLabel('Name').fill('Lobby');
  await form.getByLabel(/^Code/u).fill(code.toLowerCase());
  await form.getByRole('button', { name: 'Save' }).click();
  const question = page.getByRole('dialog', { name: 'Pair this kiosk?' });
  await question.getByText(/^A browser at \S+ asked for this code at \d\d:\d\d\./u).waitFor();
  await assertAccessible(page);
  await picture(page, 'device-look-phone');

  // Who does not know the kiosk changes nothing.
  await question.getByRole('button', { name: 'Cancel' }).click();
  await question.waitFor({ state: 'detached' });
  assert.equal((await server.list('/api/devices'))[0].name, 'Reception');
  assert.equal((await asDevice(device.token, 'GET', '/api/device')).status, 200);
  await form.getByRole('button', { name: 'Save' }).click();
  await question.getByRole('button', { name: 'Pair', exact: true }).click();
  await page.getByText('Lobby is paired').waitFor();

  // It is the same device; only the token is another.
  const [{ id, name }] = await server.list('/api/devices');
  assert.deepEqual({ id, name }, { id: device.id, name: 'Lobby' });
  const { json } = await asDevice(secret, 'GET', '/api/pairing');
  assert.equal((await asDevice(json.token, 'GET', '/api/device')).json.id, device.id);
  assert.equal((await asDevice(device.token, 'GET', '/api/device')).status, 401);
  assertClean(page);
});

// PINs and badges on the page People, and what a site asks for.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin();
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});
afterEach(() => browser.closePages());

/** Punches at a new device; returns the outcome. */
async function punch(way, body) {
  const { token } = await server.addDevice(`Kiosk ${crypto.randomUUID()}`);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await fetch(`${server.origin}/api/punches/${way}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return (await response.json()).outcome;
}

/** Opens a person's sheet on the page People. */
async function openPerson(page, { id }) {
  await page.goto(`/people#${id}`);
  const part = page.locator('#credentials');
  await part.getByText('PIN', { exact: true }).waitFor();
  return part;
}

test('a manager sets, unlocks and removes a PIN', async () => {
  const grace = await server.addEmployee('Grace Hopper', 'P7');
  const page = await browser.page({ server, signedIn: true });
  const part = await openPerson(page, grace);
  await part.getByRole('button', { name: 'Set a PIN' }).click();
  const dialog = page.getByRole('dialog', { name: 'Set a PIN' });
  await dialog.getByText('A PIN has 6 digits at this site').waitFor();
  await dialog.getByLabel('PIN for Grace Hopper').fill('40281');
  await dialog.getByRole('button', { name: 'Set this PIN' }).click();
  await dialog.getByText('Type 6 digits', { exact: true }).waitFor();
  await dialog.getByLabel('PIN for Grace Hopper').fill('123456');
  await dialog.getByRole('button', { name: 'Set this PIN' }).click();
  await dialog.getByText(/easy to guess/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'pin-guessable');
  await dialog.getByLabel('PIN for Grace Hopper').fill('402817');
  await dialog.getByRole('button', { name: 'Set this PIN' }).click();
  await part.getByText(/^set on /u).waitFor();
  assert.equal(await punch('pin', { code: 'P7', pin: '402817' }), 'punched');

  // A random one, shown once.
  await part.getByRole('button', { name: 'Change the PIN' }).click();
  await dialog.getByRole('button', { name: 'Generate a random PIN' }).click();
  const made = await dialog.locator('.new-pin').innerText();
  assert.match(made, /^\d{6}$/u);
  await assertAccessible(page);
  await picture(page, 'pin-random');
  await dialog.getByRole('button', { name: 'Done' }).click();
  assert.equal(await punch('pin', { code: 'P7', pin: '402817' }), 'wrong_pin');
  for (let tries = 2; tries <= 5; tries += 1) await punch('pin', { code: 'P7', pin: '999111' });
  assert.equal(await punch('pin', { code: 'P7', pin: made }), 'pin_locked');
  await page.reload();
  await part.getByText(/^locked since /u).waitFor();
  await part.getByText('It stays locked until a manager unlocks it, or until a new one is set').waitFor();
  await picture(page, 'pin-locked');
  await part.getByRole('button', { name: 'Unlock the PIN' }).click();
  await page.getByText('The PIN of Grace Hopper can be used again').waitFor();
  assert.equal(await punch('pin', { code: 'P7', pin: made }), 'cooldown');

  await part.getByRole('button', { name: 'Remove the PIN' }).click();
  await page.getByRole('dialog', { name: 'Remove the PIN of Grace Hopper?' }).getByRole('button', { name: 'Remove the PIN' }).click();
  await part.getByRole('button', { name: 'Set a PIN' }).waitFor();
  assert.equal(await punch('pin', { code: 'P7', pin: made }), 'wrong_pin');
  assertClean(page);
});

test('badges are issued, printed and revoked, for one person and for many', async () => {
  const alan = await server.addEmployee('Alan Turing', '1912');
  await server.issueBadge(await server.addEmployee('Ada Lovelace', '1815'));
  const page = await browser.page({ server, signedIn: true, colorScheme: 'dark' });
  await page.addInitScript(() => {
    window.print = () => (window.printed = [...document.querySelectorAll('.badge-paper text')].map(({ textContent }) => textContent));
  });
  const part = await openPerson(page, alan);
  await part.getByRole('button', { name: 'Issue a badge' }).click();
  const paper = page.getByRole('dialog', { name: 'Print this page' });
  await paper.getByRole('button', { name: 'Print' }).click();
  await assertAccessible(page);
  await picture(page, 'badge-print');
  const printed = await page.evaluate(() => window.printed);
  assert.ok(printed.includes('Alan Turing'), String(printed));
  const badge = printed.find((text) => /^(?:\d{5} ?){6}$/u.test(text));
  assert.equal(await punch('badge', { badge }), 'punched');
  // On paper there are only the badges.
  await page.emulateMedia({ media: 'print' });
  assert.equal(await page.locator('rollcall-header').isVisible(), false);
  assert.equal(await page.locator('.badge-paper').isVisible(), true);
  await picture(page, 'badge-paper');
  await page.emulateMedia({ media: 'screen' });
  await paper.getByRole('button', { name: 'Close' }).last().click();
  await page.locator('.badge-paper').waitFor({ state: 'detached' });
  await part.getByText(/^issued on /u).waitFor();
  await picture(page, 'badge-person');
  await part.getByRole('button', { name: 'Revoke the badge' }).click();
  await page.getByRole('dialog', { name: 'Revoke the badge of Alan Turing?' }).getByRole('button', { name: 'Revoke the badge' }).click();
  await part.getByRole('button', { name: 'Issue a badge' }).waitFor();
  assert.equal(await punch('badge', { badge }), 'unknown_badge');

  await page.goto('/people');
  await page.locator('#people').getByText('Alan Turing').waitFor();
  /** @type {string[]} */
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.getByRole('button', { name: 'Print badges' }).click();
  const many = page.getByRole('dialog', { name: 'Print badges' });
  // Alan's was revoked; Ada got one earlier. One request says so for all.
  await many.getByLabel('Alan Turing').waitFor();
  assert.deepEqual(
    asked.filter((path) => path.endsWith('/credentials')),
    ['/api/credentials'],
  );
  assert.ok(await many.getByLabel('Alan Turing').isChecked());
  assert.equal(await many.getByLabel('Ada Lovelace').isChecked(), false);
  await many.locator('li', { hasText: 'Ada Lovelace' }).getByText(/^Has a badge since /u).waitFor();
  await many.getByLabel('Ada Lovelace').check();
  await many.getByRole('button', { name: 'Choose all without a badge' }).click();
  assert.equal(await many.getByLabel('Ada Lovelace').isChecked(), false);
  await many.getByLabel('Ada Lovelace').check();
  await assertAccessible(page);
  await picture(page, 'badges-many');
  await many.getByRole('button', { name: /^Issue \d badges$/u }).click();

  // Badges that were not printed are not lost by accident.
  await paper.waitFor();
  const leaving = page.getByRole('dialog', { name: 'Close without printing?' });
  for (const leave of [() => page.keyboard.press('Escape'), () => page.keyboard.press('Escape'), () => paper.getByRole('button', { name: 'Close' }).first().click()]) {
    await leave();
    await leaving.getByRole('button', { name: 'Stay' }).click();
    await leaving.waitFor({ state: 'detached' });
    await paper.waitFor();
  }
  await paper.getByRole('button', { name: 'Print' }).click();
  const both = await page.evaluate(() => window.printed);
  assert.ok(['Alan Turing', 'Ada Lovelace'].every((name) => both.includes(name)), String(both));
  assertClean(page);
});

test('a site asks for the face and the PIN, and says how long a PIN is', async () => {
  const page = await browser.page({ server, signedIn: true, viewport: { width: 390, height: 844 } });
  await page.goto('/sites');
  const [site] = await server.sites();
  await page.getByRole('button', { name: `Change ${site.name}` }).click();
  const dialog = page.getByRole('dialog', { name: 'Change the site' });
  await dialog.getByLabel('Ask for the face and the PIN or badge').check();
  await dialog.getByLabel('Digits of a PIN').fill('9');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByText('Type a number from 4 to 8').waitFor();
  await dialog.getByLabel('Digits of a PIN').fill('4');
  await dialog.getByLabel('Tell home automation who punched last').check();
  await dialog.getByLabel('Let people enroll their face at kiosks').check();
  await assertAccessible(page);
  await picture(page, 'site-form');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await until('saved', async () => (await server.site(site.id)).pin_digits === 4);
  const { face_and_pin: both, kiosk_enrollment: own, mqtt_names: names } = await server.site(site.id);
  assert.deepEqual([both, own, names], [true, true, true]);
  assertClean(page);
});

// Kept pictures: of a punch on the desk, and in the list of unknown faces.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ KEEP_PUNCH_PICTURES: '30d', KEEP_UNKNOWN_FACES: '30d' });
  browser = await Browser.start('biden');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

/** Checks whether the browser shows a loaded image. */
const shown = (image) => image.evaluate((node) => node.complete && node.naturalWidth > 100);

test('a punch shows its picture, and unknown faces can be listed and deleted', async () => {
  await server.addFace('Barack Obama', 'P44', 'obama', 'obama2');
  const doors = await Promise.all(['Front door', 'Back door', 'Gate'].map((name) => server.addDevice(name)));
  assert.equal((await server.punch(doors[0], 'obama3')).outcome, 'punched');
  for (const [index, name] of ['biden', 'hopper', 'collins'].entries()) assert.equal((await server.punch(doors[index], name)).outcome, 'nobody');
  await until('three faces are kept', async () => (await server.unknownFaces()).length === 3);

  const page = await browser.page({ server, signedIn: true });
  await page.goto('/punches');
  await page.locator('.punch summary').click();
  const image = page.getByAltText(/^Picture of the punch at/u);
  await image.waitFor();
  await until('the picture of the punch is shown', () => shown(image));
  await picture(page, 'desk-picture');
  await page.getByRole('link', { name: 'Unknown faces' }).click();
  await page.waitForURL('**/unknown-faces');

  const phone = await browser.page({ server, signedIn: true, ...PHONE });
  await phone.goto('/unknown-faces');
  for (const [each, name] of [
    [page, 'unknown-faces'],
    [phone, 'unknown-faces-phone'],
  ]) {
    await until('three pictures are shown', async () => (await each.locator('#faces img').count()) === 3);
    await each.getByAltText(/^Unknown person at Gate/u).waitFor();
    await until('the pictures are loaded', () => shown(each.locator('#faces img').first()));
    await each.getByText(/deleted automatically after the time in KEEP_UNKNOWN_FACES/u).waitFor();
    await picture(each, name);
  }

  await page.locator('#faces li').first().getByRole('button').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('The face was deleted').waitFor();
  assert.equal(await page.locator('#faces li').count(), 2);
  assert.equal((await server.unknownFaces()).length, 2);
  await page.getByRole('link', { name: 'Back to today' }).click();
  await page.getByRole('heading', { name: 'Today' }).waitFor();
  assertClean(page, phone);
});

test('a site that keeps no pictures offers none', async () => {
  const other = await Server.startWithAdmin();
  try {
    const page = await browser.page({ server: other, signedIn: true });
    await page.goto('/punches');
    await page.getByText('No punches yet today').waitFor();
    assert.ok(await page.getByRole('link', { name: 'Unknown faces' }).isHidden());
    await page.goto('/unknown-faces');
    await page.getByText('None are kept').waitFor();
    await picture(page, 'unknown-faces-off');
    assertClean(page);
  } finally {
    await other.end();
  }
});

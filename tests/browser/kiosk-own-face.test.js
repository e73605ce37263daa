// People agree, add and delete their own face at the kiosk, with their PIN or badge.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Browser, assertAccessible, assertClean, picture, wall } from './support/browser.js';
import { TABLET, openKiosk, scan } from './support/kiosk.js';
import { Server } from './support/server.js';

const PIN = '402817';
const WIDE = { viewport: { width: 1024, height: 768 } };
const PHONE = { viewport: { width: 390, height: 844 } };

let server;
let browser;
let person;
before(async () => {
  server = await Server.startWithAdmin();
  person = await server.addEmployee('Barack Obama', 'P44');
  await server.setPin(person, PIN);
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});
afterEach(() => browser.closePages());

const faceOf = async ({ id }) => (await server.ask('GET', `/api/employees/${id}`)).consent ?? null;
const allow = async (allowed) => server.changeSite((await server.sites())[0].id, { kiosk_enrollment: allowed });

/** Opens a kiosk, and proves with the PIN who the person is. */
async function openOwn(name, options, shown = browser) {
  const { kiosk } = await openKiosk(server, shown, name, options);
  await kiosk.getByRole('button', { name: 'My face' }).click();
  const pad = kiosk.getByRole('dialog', { name: 'Your face: type your PIN, or show your badge' });
  await pad.getByLabel('Staff number').fill('P44');
  await pad.getByLabel('PIN').fill(PIN);
  await pad.getByRole('button', { name: 'Go on' }).click();
  return { kiosk, dialog: kiosk.locator('#own-face') };
}

test('without the rule of the site, a kiosk offers nothing', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Hall', TABLET);
  await kiosk.getByRole('button', { name: 'Use a PIN' }).waitFor();
  assert.equal(await kiosk.getByRole('button', { name: 'My face' }).count(), 0);
  await allow(true);
});

test('a person who says no is not enrolled, and one who agrees is', async () => {
  const { kiosk, dialog } = await openOwn('Front door', WIDE);
  const { text, version } = await server.ask('GET', '/api/consent');
  await dialog.getByText(text).waitFor();
  await assertAccessible(kiosk);
  await picture(kiosk, 'kiosk-own-consent');
  const sizes = await Promise.all(
    ['I agree', 'No, go on with my PIN or badge'].map(async (name) => {
      const button = dialog.getByRole('button', { name });
      const { width, height } = await button.boundingBox();
      return [width, height, await button.evaluate((one) => getComputedStyle(one).backgroundColor)];
    }),
  );
  assert.deepEqual(sizes[0], sizes[1], 'neither choice is the better one');
  await dialog.getByRole('button', { name: 'No, go on with my PIN or badge' }).click();
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await faceOf(person), null);

  await kiosk.getByRole('button', { name: 'My face' }).click();
  const pad = kiosk.getByRole('dialog', { name: 'Your face: type your PIN, or show your badge' });
  await pad.getByLabel('Staff number').fill('P44');
  await pad.getByLabel('PIN').fill('999111');
  await pad.getByRole('button', { name: 'Go on' }).click();
  await pad.getByText('The number or the PIN is wrong').waitFor();
  await pad.getByLabel('PIN').fill(PIN);
  await pad.getByRole('button', { name: 'Go on' }).click();
  await dialog.getByRole('button', { name: 'I agree' }).click();
  await dialog.getByText('Look straight into the camera').waitFor();
  await assertAccessible(kiosk);
  await picture(kiosk, 'kiosk-own-photo');
  const shutter = dialog.getByRole('button', { name: 'Take the photo' });
  for (const next of [2, 3]) {
    await shutter.click();
    await dialog.getByRole('heading', { name: `Photo ${next} of 3` }).waitFor();
  }
  await dialog.getByText('Turn your head a little to the right').waitFor();
  await picture(kiosk, 'kiosk-own-photo-last');
  await shutter.click();
  await dialog.getByRole('heading', { name: 'Your face is enrolled' }).waitFor();
  assert.deepEqual(await dialog.locator('#own-face-photos li').allInnerTexts(), ['Good', 'Good', 'Good']);
  await assertAccessible(kiosk);
  await picture(kiosk, 'kiosk-own-enrolled');
  const consent = await faceOf(person);
  assert.deepEqual([consent.given, consent.text], ['kiosk', version]);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await dialog.waitFor({ state: 'hidden' });
  // What proved the person is not kept.
  await kiosk.locator('#own-face-choices button').waitFor({ state: 'detached' });
  // Who only closes the dialog is not punched.
  await sleep(5000);
  assert.deepEqual(await server.punches(), []);

  // The face is enough from now on.
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.locator('#answer-name', { hasText: 'Barack Obama' }).waitFor();
  assertClean(kiosk);
});

test('the same proof deletes the face', async () => {
  const { code } = await server.issueBadge(person);
  const { kiosk } = await openKiosk(server, browser, 'Back door', PHONE);
  await kiosk.getByRole('button', { name: 'My face' }).click();
  await kiosk.getByRole('dialog', { name: 'Your face: type your PIN, or show your badge' }).waitFor();
  await scan(kiosk, code);
  const dialog = kiosk.locator('#own-face');
  await dialog.getByRole('heading', { name: 'Hello, Barack Obama' }).waitFor();
  await picture(kiosk, 'kiosk-own-phone');
  await assertAccessible(kiosk);
  await dialog.getByRole('button', { name: 'Delete my face' }).click();
  await dialog.getByRole('heading', { name: 'Delete your face?' }).waitFor();
  await picture(kiosk, 'kiosk-own-delete-phone');
  await dialog.getByRole('button', { name: 'Delete my face' }).click();
  await dialog.getByRole('heading', { name: 'Your face is deleted' }).waitFor();
  assert.equal(await faceOf(person), null);
  // The badge was no punch.
  assert.deepEqual((await server.punches()).filter(({ origin }) => origin.name === 'Back door' && origin.proof?.kind === 'badge'), []);
  assertClean(kiosk);
});

test('photos that cannot be used are explained, and a person can go on without a face', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rollcall-wall-'));
  const blind = await Browser.start(await wall(path.join(folder, 'wall.pgm')));
  try {
    const { kiosk, dialog } = await openOwn('Dark hall', WIDE, blind);
    await dialog.getByRole('button', { name: 'I agree' }).click();
    const shutter = dialog.getByRole('button', { name: 'Take the photo' });
    for (const next of [2, 3]) {
      await shutter.click();
      await dialog.getByRole('heading', { name: `Photo ${next} of 3` }).waitFor();
    }
    await shutter.click();
    await dialog.getByRole('heading', { name: 'Not enrolled' }).waitFor();
    const verdicts = await dialog.locator('#own-face-photos li').allInnerTexts();
    assert.ok(verdicts.length === 3 && verdicts.every((words) => words.startsWith('No face found')), String(verdicts));
    await assertAccessible(kiosk);
    await picture(kiosk, 'kiosk-own-refused');
    await dialog.getByRole('button', { name: 'No, go on with my PIN or badge' }).click();
    await dialog.waitFor({ state: 'hidden' });
    assert.equal(await faceOf(person), null);
    assertClean(kiosk);
  } finally {
    await blind.end();
    await rm(folder, { recursive: true, force: true });
  }
});

test('a dialog that is left closes', async () => {
  const { kiosk, dialog } = await openOwn('Gate', PHONE);
  await kiosk.clock.install();
  await dialog.getByRole('button', { name: 'I agree' }).click();
  await dialog.getByText('Look straight into the camera').waitFor();
  await picture(kiosk, 'kiosk-own-photo-phone');
  await kiosk.clock.runFor(75_000);
  await dialog.getByText('This closes in a few seconds. Touch the screen to stay.').waitFor();
  await picture(kiosk, 'kiosk-own-closes-phone');
  await kiosk.clock.runFor(20_000);
  await dialog.waitFor({ state: 'hidden' });
  assertClean(kiosk);
});

// Punches with a staff number and a PIN at the kiosk, online and offline.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until, wall } from './support/browser.js';
import { openKiosk, recordsIn, typePin } from './support/kiosk.js';
import { Server } from './support/server.js';

const PIN = '402817';

let server;
let browser;
let folder;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rollcall-wall-'));
  server = await Server.startWithAdmin({ COOLDOWN: '1s' });
  browser = await Browser.start(await wall(path.join(folder, 'wall.pgm')));
});
after(async () => {
  await browser?.end();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => browser.closePages());

async function addPerson(name, code) {
  const person = await server.addEmployee(name, code);
  await server.setPin(person, PIN);
  return person;
}

const punchesOf = async ({ id }) => (await server.punches()).filter(({ employee }) => employee === id);

test('a person without a face punches with a staff number and a PIN', async () => {
  const grace = await addPerson('Grace Hopper', 'P7');
  const { kiosk } = await openKiosk(server, browser, 'Front door');
  await assertAccessible(kiosk);
  await picture(kiosk, 'kiosk-start');
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  const pad = kiosk.getByRole('dialog', { name: 'Punch with your PIN' });

  // With the keys of the pad.
  const press = async (...names) => {
    for (const name of names) await pad.getByRole('button', { name, exact: true }).click();
  };
  await press('Letters', 'P', 'Q', 'Delete the last character', 'Digits', '7');
  await assertAccessible(kiosk);
  assert.equal(await pad.getByLabel('Staff number').inputValue(), 'P7');
  await press('Punch', ...'402818');
  await picture(kiosk, 'kiosk-pad');
  assert.equal(await pad.getByLabel('PIN').getAttribute('type'), 'password');
  await press('Punch');
  await pad.getByText('The number or the PIN is wrong: check the number, and type the PIN again').waitFor();
  assert.equal(await pad.getByLabel('PIN').inputValue(), '');
  await picture(kiosk, 'kiosk-pad-wrong');
  await assertAccessible(kiosk);

  // With a keyboard.
  await kiosk.keyboard.type(PIN);
  await kiosk.keyboard.press('Enter');
  await kiosk.locator('#answer', { hasText: /Grace Hopper\s*In \d/u }).waitFor();
  await picture(kiosk, 'kiosk-pin-in');
  await pad.waitFor({ state: 'hidden' });
  const [punch] = await punchesOf(grace);
  assert.equal(punch.proof.kind, 'pin');
  // Only a face can be another person's.
  assert.equal(await kiosk.getByRole('button', { name: /not (?:me|Grace)/u }).count(), 0);
  assertClean(kiosk);
});

test('the pad closes and forgets, and says when a PIN is locked', async () => {
  const alan = await addPerson('Alan Turing', '1912');
  const { kiosk } = await openKiosk(server, browser, 'Back door', { viewport: { width: 390, height: 844 } });
  const open = () => kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await open();
  const pad = kiosk.getByRole('dialog');
  await pad.getByRole('button', { name: 'Punch' }).click();
  await pad.getByText('Type your staff number').waitFor();
  await pad.getByLabel('Staff number').fill('1912');
  await pad.getByRole('button', { name: 'Punch' }).click();
  await pad.getByText('Type your PIN').waitFor();
  await pad.getByLabel('PIN').fill('40');
  await picture(kiosk, 'kiosk-pad-phone');
  await pad.getByText('This closes in a few seconds').waitFor();
  await pad.waitFor({ state: 'hidden' });
  await open();
  assert.equal(await pad.getByLabel('Staff number').inputValue(), '');
  assert.equal(await pad.getByLabel('PIN').inputValue(), '');
  // It works for the next person, too, who opens it before the event `close` has come.
  await pad.getByLabel('Staff number').fill('19');
  await kiosk.evaluate(() => {
    for (const id of ['pad-cancel', 'use-pin']) document.getElementById(id).click();
  });
  await until('it is empty again', async () => (await pad.getByLabel('Staff number').inputValue()) === '');
  for (let tries = 1; tries < 5; tries += 1) {
    await typePin(kiosk, '1912', '111222');
    await pad.getByText('The number or the PIN is wrong').waitFor();
  }
  await typePin(kiosk, '1912', '111222');
  await kiosk.locator('#answer-name', { hasText: 'This PIN is locked' }).waitFor();
  await kiosk.locator('#answer-text', { hasText: 'until your manager unlocks it, or until you set a new one' }).waitFor();
  await picture(kiosk, 'kiosk-pin-locked');
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await open();
  await typePin(kiosk, '1912', PIN);
  await kiosk.locator('#answer-name', { hasText: 'This PIN is locked' }).waitFor();
  assert.deepEqual(await punchesOf(alan), []);
  assertClean(kiosk);
});

test('a PIN works when the camera does not, on a wide and low screen', async () => {
  const ada = await addPerson('Ada Lovelace', '1815');
  const device = await server.addDevice('No camera');
  const kiosk = await browser.page({ server, viewport: { width: 1024, height: 600 } });
  await kiosk.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));
  });
  await kiosk.goto(`/kiosk#${device.token}`);
  await kiosk.getByText('The camera is not allowed').waitFor();
  await kiosk.locator('#camera-help').getByRole('button', { name: 'Use a PIN' }).click();
  await picture(kiosk, 'kiosk-pad-wide');
  await typePin(kiosk, '1815', PIN);
  await until('a punch', async () => (await punchesOf(ada)).length === 1);
  await kiosk.locator('#answer', { hasText: 'Ada Lovelace' }).waitFor();
  // Over the words about the camera.
  await kiosk.locator('#answer').click({ trial: true });
  await picture(kiosk, 'kiosk-no-camera-in');
  assertClean(kiosk);
});

test('a kiosk that starts again while the service is away still works', async () => {
  const person = await addPerson('Barbara Liskov', '1939');
  const { kiosk } = await openKiosk(server, browser, 'Power cut');
  const caches = () => kiosk.evaluate(async () => {
    const names = await window.caches.keys();
    return Promise.all(names.map(async (name) => (await (await window.caches.open(name)).keys()).map(({ url }) => new URL(url).pathname)));
  });
  await until('the page is kept', async () => (await caches())[0]?.includes('/kiosk'));
  await server.stop();
  const failed = [];
  kiosk.on('requestfailed', (request) => failed.push(new URL(request.url()).pathname));
  await kiosk.reload();
  await kiosk.getByText('No connection', { exact: true }).waitFor();
  await kiosk.locator('#device-name', { hasText: 'Power cut' }).waitFor();
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, '1939', PIN);
  await kiosk.getByText(/^Punch saved at \d\d:\d\d$/u).waitFor();
  assert.deepEqual(failed.filter((path) => !path.startsWith('/api/')), []);
  await server.resume();
  await until('the punch', async () => (await punchesOf(person)).length === 1);
  const [kept, ...others] = await caches();
  assert.deepEqual([kept.filter((path) => path.startsWith('/api/')), others], [[], []]);
  assertClean(kiosk);
});

test('offline, a PIN waits sealed for the service; a wrong one goes to a manager, who adds the punch', async () => {
  const person = await addPerson('Edsger Dijkstra', '1930');
  const { kiosk } = await openKiosk(server, browser, 'Gate');
  await server.stop();
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, '1930', PIN);
  await kiosk.getByText(/^Punch saved at \d\d:\d\d$/u).waitFor();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, '1930', '999111');
  // The kiosk may have saved pictures of the wall as well.
  const sealed = async () => (await recordsIn(kiosk, 'rollcall-kiosk', 'bursts')).filter((one) => one.sealed);
  await until('both are saved', async () => (await sealed()).length === 2);
  const [saved, wrong] = await sealed();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  const readable = JSON.stringify(saved);
  assert.ok(!readable.includes(PIN) && !readable.includes('1930'), readable);
  assert.deepEqual(await recordsIn(kiosk, 'rollcall-kiosk-key', 'keys'), [{ extractable: false }]);

  await server.resume();
  await kiosk.getByText('1 not accepted, a manager will look at it').waitFor();
  await picture(kiosk, 'kiosk-not-accepted');
  const punches = await punchesOf(person);
  assert.deepEqual(
    punches.map(({ proof, clock, captured_at: at }) => [proof.kind, clock, new Date(at).getTime()]),
    [['pin', 'device', saved.capturedAt]],
  );
  await until('nothing stays on the kiosk', async () => (await recordsIn(kiosk, 'rollcall-kiosk', 'bursts')).length === 0);

  const office = await browser.page({ server, signedIn: true, viewport: { width: 1024, height: 768 } });
  await office.goto('/inbox');
  const notice = office.locator('[data-notice="refused_punch"]', { hasText: 'Edsger Dijkstra' });
  await notice.getByText('A punch that a kiosk saved was not accepted').waitFor();
  await notice.getByRole('button', { name: /^Decide on the punch: Edsger Dijkstra/u }).click();
  const dialog = office.getByRole('dialog', { name: 'A punch that was not accepted' });
  await dialog.getByText(/at Gate, by PIN\. .*: the number or the PIN was wrong\.$/u).waitFor();
  await assertAccessible(office);
  await picture(office, 'inbox-refused-punch');
  await dialog.getByText('The number of Edsger Dijkstra was typed, which does not prove who it was').waitFor();
  await dialog.getByLabel('Staff number of another person').fill('0000');
  await dialog.getByRole('button', { name: 'Add the punch' }).click();
  await dialog.getByText('Nobody has this staff number').waitFor();
  await dialog.getByLabel('Staff number of another person').fill('');
  await dialog.getByLabel('Kind').selectOption('out');
  await dialog.getByRole('button', { name: 'Add the punch' }).click();
  await notice.waitFor({ state: 'detached' });
  const { corrections } = await server.timesheet(person, `${punches[0].workday.slice(0, 7)}-01`);
  assert.deepEqual(corrections.map(({ action, kind, state }) => [action, kind, state]), [['add', 'out', 'approved']]);
  // By the clock of the service.
  assert.ok(Math.abs(new Date(corrections[0].at).getTime() - wrong.capturedAt) < 5000, corrections[0].at);
  assertClean(kiosk, office);
});

test('offline, one number is kept four times an hour, so that nobody fills the kiosk', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Shed');
  await server.stop();
  for (const pin of ['111111', '222222', '333333', '444444', '555555']) {
    await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
    await typePin(kiosk, '7777', pin);
    await kiosk.locator('#answer-name', { hasText: pin === '555555' ? 'Not saved' : 'Punch saved' }).waitFor();
    if (pin !== '555555') await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  }
  await kiosk.locator('#answer-text', { hasText: 'This kiosk has already saved 4 punches with this number in the last hour. Tell your manager' }).waitFor();
  await picture(kiosk, 'kiosk-too-many');
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  // Another number is still kept.
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, '7778', PIN);
  await kiosk.locator('#answer-name', { hasText: 'Punch saved' }).waitFor();
  const saved = await recordsIn(kiosk, 'rollcall-kiosk', 'bursts');
  assert.equal(saved.filter(({ how }) => how === 'pin').length, 5);
  await server.resume();
  assertClean(kiosk);
});

test('a staff number with other characters is typed with the keyboard of the tablet', async () => {
  const person = await addPerson('Åsa Öberg', 'Ä 7');
  const { kiosk } = await openKiosk(server, browser, 'Pier', { viewport: { width: 390, height: 844 } });
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  const pad = kiosk.getByRole('dialog');
  const number = pad.getByLabel('Staff number');
  await pad.getByRole('button', { name: 'Letters' }).click();
  await picture(kiosk, 'kiosk-pad-letters-phone');
  await pad.getByRole('button', { name: 'Keyboard for other characters' }).click();
  assert.equal(await number.getAttribute('inputmode'), 'text');
  await kiosk.keyboard.type('Ä');
  await pad.getByRole('button', { name: 'Space' }).click();
  await pad.getByRole('button', { name: 'Digits' }).click();
  await pad.getByRole('button', { name: '7', exact: true }).click();
  assert.equal(await number.inputValue(), 'Ä 7');
  await pad.getByLabel('PIN').fill(PIN);
  await pad.getByRole('button', { name: 'Punch' }).click();
  await until('a punch', async () => (await punchesOf(person)).length === 1);
  // The next person begins with the keys of the pad.
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  assert.equal(await number.getAttribute('inputmode'), 'none');
  assertClean(kiosk);
});

// A face at the kiosk that is not enough, or that is another person's: face and PIN together, and "Not me".

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { openKiosk, scan, typePin } from './support/kiosk.js';
import { Server } from './support/server.js';

const PERSON = 'Barack Obama';
const PIN = '402817';

let server;
let browser;
let person;
before(async () => {
  server = await Server.startWithAdmin({ COOLDOWN: '1s' });
  person = await server.addFace(PERSON, 'P44', 'obama', 'obama2');
  await server.setPin(person, PIN);
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});
afterEach(() => browser.closePages());

const punchesOf = async ({ id }) => (await server.punches()).filter(({ employee }) => employee === id);

test('a person takes back a punch that is not theirs, and punches with a PIN instead', async () => {
  const twin = await server.addEmployee('Keegan Key', 'K1');
  await server.setPin(twin, PIN);
  const { kiosk } = await openKiosk(server, browser, 'Front door', { viewport: { width: 390, height: 844 } });
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  const notMe = kiosk.getByRole('button', { name: `I am not ${PERSON}` });
  await notMe.waitFor();
  await picture(kiosk, 'kiosk-not-me');
  await notMe.click();
  await kiosk.locator('#answer-name', { hasText: 'Taken back' }).waitFor();
  await kiosk.locator('#answer-text', { hasText: 'A manager will look at it' }).waitFor();
  await picture(kiosk, 'kiosk-taken-back');
  await notMe.waitFor({ state: 'hidden' });
  const [mistaken] = await punchesOf(person);
  const [correction] = (await server.timesheet(person, `${mistaken.workday.slice(0, 7)}-01`)).corrections;
  assert.deepEqual([correction.action, correction.punch, correction.state, correction.provisional], ['void', mistaken.id, 'requested', true]);

  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  const sent = kiosk.waitForRequest('**/api/punches/pin');
  await typePin(kiosk, 'K1', PIN);
  assert.equal((await sent).postDataJSON().instead_of, mistaken.id);
  await until('a punch', async () => (await punchesOf(twin)).length === 1);
  assert.equal((await punchesOf(person)).length, 1, 'the face is not taken for the same person again');
  assertClean(kiosk);
});

test('"Not me" is offered for a short time, and not without a connection', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Back door', { viewport: { width: 1280, height: 800 } });
  const notMe = kiosk.locator('#not-me');
  await notMe.waitFor();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await picture(kiosk, 'kiosk-not-me-wide');
  await assertAccessible(kiosk);
  await notMe.waitFor({ state: 'hidden' });
  assertClean(kiosk);
  await kiosk.close();

  const { kiosk: other } = await openKiosk(server, browser, 'Gate');
  await other.locator('#not-me').waitFor();
  await server.stop();
  await other.getByText('No connection', { exact: true }).waitFor();
  await other.locator('#not-me').waitFor({ state: 'hidden' });
  await server.resume();
  assertClean(other);
});

test('"Not me" is about the punch that was shown, also while the kiosk looks at the next person', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Side door');
  await kiosk.getByRole('button', { name: `I am not ${PERSON}` }).waitFor();
  const [mistaken] = await punchesOf(person);
  const other = { id: '0190a6d1-0000-7000-8000-000000000001', employee: '0190a6d1-0000-7000-8000-000000000002', name: 'Keegan Key', kind: 'in', at: new Date().toISOString() };
  let looks = 0;
  let answer;
  const tapped = new Promise((resolve) => (answer = resolve));
  await kiosk.route('**/api/punches*', async (route) => {
    looks += 1;
    await tapped;
    await route.fulfill({ contentType: 'application/json', body: JSON.stringify({ outcome: 'punched', name: other.name, punch: other }) });
  });
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await until('the kiosk looks again', () => looks > 0);
  const sent = kiosk.waitForRequest('**/not-me');
  await kiosk.getByRole('button', { name: `I am not ${PERSON}` }).click();
  answer();
  assert.equal(new URL((await sent).url()).pathname, `/api/punches/${mistaken.id}/not-me`);
  await kiosk.locator('#answer-name', { hasText: 'Taken back' }).waitFor();
  // The next person has punched already, and can take that back.
  assert.equal(await kiosk.locator('#answer-text').textContent(), 'A manager will look at it.');
  await kiosk.getByRole('button', { name: 'I am not Keegan Key' }).waitFor();
  assertClean(kiosk);
});

test('"Not me" ends as early as the service, however late the answer came', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Slow door');
  let sentAt = 0;
  await kiosk.route('**/api/punches*', async (route) => {
    sentAt ||= Date.now();
    const response = await route.fetch();
    await sleep(sentAt + 7000 - Date.now());
    await route.fulfill({ response });
  });
  const notMe = kiosk.locator('#not-me');
  await notMe.waitFor();
  await notMe.waitFor({ state: 'hidden' });
  const offered = Date.now() - sentAt;
  assert.ok(offered < 18_000, `offered until ${offered} ms after the punch was sent`);
  assertClean(kiosk);
});

test('where the site asks for both, the pad opens for a face', async () => {
  const [site] = await server.sites();
  await server.changeSite(site.id, { face_and_pin: true });
  const before = (await punchesOf(person)).length;
  const { kiosk } = await openKiosk(server, browser, 'Hall');
  const pad = kiosk.getByRole('dialog', { name: 'Now type your PIN' });
  await pad.waitFor();
  await typePin(kiosk, 'P44', PIN);
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  assert.deepEqual((await punchesOf(person)).slice(0, -before).map(({ proof }) => proof.kind), ['face_and_pin']);

  // The PIN first, and the face of another person.
  const other = await server.addFace('Joe Biden', 'P46', 'biden');
  await server.setPin(other, PIN);
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, 'P46', PIN);
  await kiosk.locator('#answer-name', { hasText: 'Not recognized' }).waitFor();
  assert.deepEqual(await punchesOf(other), []);

  // A person without a face needs no face.
  const grace = await server.addEmployee('Grace Hopper', 'P7');
  await server.setPin(grace, PIN);
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, 'P7', PIN);
  await kiosk.locator('#answer-name', { hasText: 'Grace Hopper' }).waitFor();
  assert.deepEqual((await punchesOf(grace)).map(({ proof }) => proof.kind), ['pin']);
  assertClean(kiosk);
});

test('where the site asks for both, a badge after the face is enough', async () => {
  const { code } = await server.issueBadge(person);
  const before = (await punchesOf(person)).length;
  const { kiosk } = await openKiosk(server, browser, 'Vault');
  await kiosk.getByRole('dialog', { name: 'Now type your PIN, or show your badge' }).waitFor();
  await scan(kiosk, code);
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  assert.deepEqual((await punchesOf(person)).slice(0, -before).map(({ proof }) => proof.kind), ['face_and_badge']);
  assertClean(kiosk);
});

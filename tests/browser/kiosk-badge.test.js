// Badges at the kiosk: typed by a scanner, and seen by the camera.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Browser, assertClean, picture, until, wall } from './support/browser.js';
import { openKiosk, recordsIn, scan, typePin } from './support/kiosk.js';
import { Server } from './support/server.js';

const AWAY_S = 4;
const PIN = '402817';

let server;
let browser;
let folder;
let shown;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rollcall-badge-'));
  server = await Server.startWithAdmin({ COOLDOWN: '1s' });
  shown = await server.addEmployee('Grace Hopper', 'P7');
  const { qr } = await server.issueBadge(shown);
  browser = await Browser.start(await wall(path.join(folder, 'badge.pgm'), qr), { away: AWAY_S });
});
after(async () => {
  await browser?.end();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => browser.closePages());

const punchesOf = async ({ id }) => (await server.punches()).filter(({ employee }) => employee === id);

test('the camera reads a badge, once while it is shown', async () => {
  const { kiosk } = await openKiosk(server, browser, 'Hall');
  let sent = 0;
  kiosk.on('request', (request) => (sent += request.url().endsWith('/api/punches/badge') ? 1 : 0));
  await kiosk.locator('#answer', { hasText: /Grace Hopper\s*In \d/u }).waitFor();
  await picture(kiosk, 'kiosk-badge-in');
  const [punch] = await punchesOf(shown);
  assert.equal(punch.proof.kind, 'badge');
  // The film shows it again and again, as on a person who stays: longer than the cooldown.
  await sleep(5 * AWAY_S * 1000);
  assert.equal(sent, 1);
  assert.equal((await punchesOf(shown)).length, 1);
  assertClean(kiosk);
});

test('a scanner types a badge wherever the focus is', async () => {
  const alan = await server.addEmployee('Alan Turing', '1912');
  const { code } = await server.issueBadge(alan);
  const { kiosk } = await openKiosk(server, browser, 'Front door');
  // Even while another person types on the pad.
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await scan(kiosk, code);
  await kiosk.locator('#answer-name', { hasText: 'Alan Turing' }).waitFor();
  await kiosk.getByRole('dialog').waitFor({ state: 'hidden' });
  await scan(kiosk, code);
  await kiosk.locator('#answer-name', { hasText: 'Alan Turing' }).waitFor({ state: 'hidden' });
  assert.deepEqual((await punchesOf(alan)).map(({ proof }) => proof.kind), ['badge']);

  // A person who types digits is no scanner, and a badge of another place is not valid.
  await scan(kiosk, code.slice(0, 12));
  await scan(kiosk, '1'.repeat(30), 'Tab');
  await kiosk.locator('#answer-name', { hasText: 'Badge not valid' }).waitFor();
  await picture(kiosk, 'kiosk-badge-unknown');
  assert.equal((await punchesOf(alan)).length, 1);
  assertClean(kiosk);
});

test('offline, a badge waits sealed for the service', async () => {
  const ada = await server.addEmployee('Ada Lovelace', '1815');
  const { code } = await server.issueBadge(ada);
  const { kiosk } = await openKiosk(server, browser, 'Gate');
  await server.stop();
  await scan(kiosk, code);
  await kiosk.getByText(/^Punch saved at \d\d:\d\d$/u).waitFor();
  const saved = await recordsIn(kiosk, 'rollcall-kiosk', 'bursts');
  assert.ok(saved.some(({ sealed }) => sealed) && !JSON.stringify(saved).includes(code));
  await server.resume();
  await until('the punch', async () => (await punchesOf(ada)).length === 1);
  const [punch] = await punchesOf(ada);
  assert.deepEqual([punch.proof.kind, punch.clock], ['badge', 'device']);
  await kiosk.locator('#saved', { hasText: /^$/u }).waitFor({ state: 'attached' });
  assert.deepEqual(await recordsIn(kiosk, 'rollcall-kiosk', 'bursts'), []);
  assertClean(kiosk);
});

test('a badge without an answer can be shown again at once', async () => {
  const alonzo = await server.addEmployee('Alonzo Church', '1903');
  const { code } = await server.issueBadge(alonzo);
  const { kiosk } = await openKiosk(server, browser, 'Side door');
  let asked = 0;
  await kiosk.route('**/api/punches/badge', (route) => {
    if (!route.request().postData()?.includes(code) || asked++ > 0) return route.continue();
    return route.fulfill({ status: 422, contentType: 'application/problem+json', body: '{"code":"invalid","status":422,"detail":"broken"}' });
  });
  await scan(kiosk, code);
  await kiosk.locator('#answer', { hasText: /Not punched\s*Broken/u }).waitFor();
  await kiosk.locator('#answer-name', { hasText: 'Not punched' }).waitFor({ state: 'hidden' });
  await scan(kiosk, code);
  await until('the punch', async () => (await punchesOf(alonzo)).length === 1);
  assertClean(kiosk);
});

test('PINs that the service does not accept yet keep no badge waiting', async () => {
  const [kurt, emmy] = [await server.addEmployee('Kurt Gödel', '1906'), await server.addEmployee('Emmy Noether', '1882')];
  await server.setPin(kurt, PIN);
  const { code } = await server.issueBadge(emmy);
  const { kiosk } = await openKiosk(server, browser, 'Yard');
  let refused = 0;
  await kiosk.route('**/api/punches/pin', (route) => {
    refused += 1;
    return route.fulfill({ status: 429, headers: { 'Retry-After': '600' }, contentType: 'application/problem+json', body: '{"code":"too_many_requests","status":429}' });
  });
  // A right PIN is not lost although others have used up the tries of this kiosk.
  await kiosk.getByRole('button', { name: 'Use a PIN' }).click();
  await typePin(kiosk, '1906', PIN);
  await kiosk.locator('#answer', { hasText: /Punch saved at \d\d:\d\d\s*It will be checked later/u }).waitFor();
  await kiosk.locator('#line', { hasText: 'Connected' }).waitFor();
  await server.stop();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await scan(kiosk, code);
  await kiosk.getByText('2 saved, will be checked').waitFor();
  await server.resume();
  await until('the punch of the badge', async () => (await punchesOf(emmy)).length === 1);
  assert.ok(refused >= 2);
  // The kiosk forgets a punch after the service has it.
  const kept = async () => (await recordsIn(kiosk, 'rollcall-kiosk', 'bursts')).map(({ how }) => how).join();
  await until('only the PIN to be kept', async () => (await kept()) === 'pin');
  assert.deepEqual(await punchesOf(kurt), []);

  // The kiosk asks again after a new start, and the punch counts at the time when the PIN was typed.
  await kiosk.unroute('**/api/punches/pin');
  await kiosk.reload();
  await until('the punch of the PIN', async () => (await punchesOf(kurt)).length === 1);
  assert.deepEqual((await punchesOf(kurt)).map(({ proof, clock, doubt }) => [proof.kind, clock, doubt ?? null]), [['pin', 'device', null]]);
  assertClean(kiosk);
});

test('where the site asks for both, a badge is saved and sent with the face', async () => {
  const [site] = await server.sites();
  await server.changeSite(site.id, { face_and_pin: true });
  const edith = await server.addEmployee('Edith Clarke', '1883');
  const { code } = await server.issueBadge(edith);
  // The kiosk knows it from its pairing, before any answer.
  const { kiosk } = await openKiosk(server, browser, 'Vault');
  await kiosk.getByText('Look into the camera, then type your PIN or show your badge').waitFor();
  await server.stop();
  await scan(kiosk, code);
  await kiosk.getByText('Now look into the camera').waitFor();
  await kiosk.getByText(/^Punch saved at \d\d:\d\d$/u).waitFor();
  const saved = (await recordsIn(kiosk, 'rollcall-kiosk', 'bursts')).filter(({ sealed }) => sealed);
  assert.deepEqual(saved.map(({ how, frames }) => [how, frames.length]), [['badge', 3]]);
  const sent = kiosk.waitForRequest((request) => request.method() === 'POST' && new URL(request.url()).pathname === '/api/punches');
  await server.resume();
  await sent;
  // A person without an enrolled face needs none.
  await until('the punch', async () => (await punchesOf(edith)).length === 1);
  await server.changeSite(site.id, { face_and_pin: false });
  assertClean(kiosk);
});

// Badges at the kiosk: typed by a scanner, and seen by the camera.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Browser, assertClean, picture, until, wall } from './support/browser.js';
import { openKiosk, recordsIn } from './support/kiosk.js';
import { Server } from './support/server.js';

const AWAY_S = 4;

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

/** Types as a scanner does: without a pause. */
async function scan(kiosk, code, end = 'Enter') {
  await kiosk.evaluate(
    ([code, end]) => {
      const press = (key, code) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, code, bubbles: true, cancelable: true }));
      for (const digit of code) press(digit, `Digit${digit}`);
      press(end, end);
    },
    [code, end],
  );
}

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

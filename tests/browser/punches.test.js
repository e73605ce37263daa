// The page of today's punches: which of them count, and who is in.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ COOLDOWN: '0s' });
  browser = await Browser.start('biden');
});
after(async () => {
  await browser?.end();
  await server?.end();
});
afterEach(() => browser.closePages());

/** Opens a page and waits until it is live. */
async function open(address, options = {}) {
  const page = await browser.page({ server, signedIn: true, ...options });
  await page.goto(address);
  await page.locator('[data-state="live"]').waitFor();
  return page;
}

test('a punch that was taken back is marked, and does not count', async () => {
  await server.addFace('Grace Hopper', 'P01', 'hopper');
  const ada = await server.addEmployee('Ada Lovelace', 'P02');
  await server.punchByHand(ada, 'in', 'Forgot the badge');
  const door = await server.addDevice('Front door');
  const { punch } = await server.punch(door, 'hopper');

  const page = await open('/punches');
  const row = page.locator(`[data-punch="${punch.id}"]`);
  await row.getByText('In', { exact: true }).waitFor();
  assert.equal(await page.locator('#count-in').textContent(), '2');

  // The page follows what happens at the kiosk.
  const taken = await fetch(`${server.origin}/api/punches/${punch.id}/not-me`, { method: 'POST', headers: { authorization: `Bearer ${door.token}` } });
  assert.ok(taken.ok, await taken.text());
  await row.getByText('Taken back at the kiosk').waitFor();
  await row.getByText('Does not count', { exact: true }).waitFor();
  await until('one person is in', async () => (await page.locator('#count-in').textContent()) === '1');
  assert.equal(await page.locator('#count-punches').textContent(), '1');
  assert.deepEqual(await page.locator('#present .row-title').allTextContents(), ['Ada Lovelace']);
  await assertAccessible(page);
  await picture(page, 'punches-taken-back');
  const phone = await open('/punches', PHONE);
  await picture(phone, 'punches-taken-back-phone');

  // It agrees with the board.
  const board = await open('/');
  await board.locator('[data-count="present"]', { hasText: /^1$/u }).waitFor();

  // The number beside Inbox does not change the header.
  const inbox = page.locator('.nav a[href="/inbox"] .count');
  await inbox.waitFor();
  await board.locator('.nav a[href="/inbox"] .count').waitFor();
  const heights = await Promise.all([page, board].map((each) => each.locator('.header').evaluate((node) => node.clientHeight)));
  assert.equal(heights[0], heights[1]);

  // A manager gives the punch back: it counts again. Who is read about keeps the focus.
  await page.locator('#present').getByRole('link', { name: 'Ada Lovelace' }).focus();
  const [correction] = await server.list('/api/corrections');
  await server.ask('POST', `/api/corrections/${correction.id}/reject`, {});
  await row.getByText('In', { exact: true }).waitFor();
  await until('two people are in', async () => (await page.locator('#count-in').textContent()) === '2');
  await until('Grace Hopper is listed', async () => (await page.locator('#present li').count()) === 2);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), `/people#${ada.id}`);

  // A correction moves it, and another one removes a punch.
  const correct = (id, change) => server.ask('POST', `/api/employees/${id}/corrections`, { reason: 'Forgot to punch', ...change });
  const at = new Date(Date.parse(punch.at) - 60_000).toISOString();
  await correct(punch.employee, { action: 'move', punch: punch.id, at });
  await row.getByText(/^Moved by a correction: counts at /u).waitFor();
  await row.getByText('In', { exact: true }).waitFor();
  const [byHand] = (await server.punches()).filter(({ employee }) => employee === ada.id);
  await correct(ada.id, { action: 'void', punch: byHand.id });
  const removed = page.locator(`[data-punch="${byHand.id}"]`);
  await removed.getByText('Removed by a correction: does not count').waitFor();
  await removed.getByText('Does not count', { exact: true }).waitFor();
  await assertAccessible(page);
  await picture(page, 'punches-corrected');
  assertClean(page, phone, board);
});

test('a long name makes no table wider than the page', async () => {
  const name = `${'Wolfeschlegelsteinhausen'.repeat(3)} ${'de la Cruz '.repeat(4)}`.slice(0, 120).trim();
  await server.addEmployee(name, 'P99');
  for (const [address, label] of [
    ['/', 'board'],
    ['/timesheets', 'timesheets'],
    ['/people', 'people'],
    ['/punches', 'punches'],
  ])
    for (const [kind, options] of [
      ['desk', {}],
      ['phone', PHONE],
    ]) {
      const page = await browser.page({ server, signedIn: true, ...options });
      await page.goto(address);
      if (label !== 'punches') await page.getByText('Wolfeschlegel').first().scrollIntoViewIfNeeded();
      await picture(page, `long-name-${label}-${kind}`);
      if (kind === 'desk') {
        const wide = await page.evaluate(() => [...document.querySelectorAll('.table-frame')].map((frame) => frame.scrollWidth - frame.clientWidth));
        assert.ok(wide.every((over) => over <= 0), `${label} scrolls sideways by ${wide} px`);
      }
      assertClean(page);
      await page.context().close();
    }
});

// The board of a day: who is due, and who is there.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin({ COOLDOWN: '0s' });
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

test('the board follows punches, filters, and shows other days', async () => {
  await server.addFace('Grace Hopper', 'P01', 'hopper');
  const ada = await server.addEmployee('Ada Lovelace', 'P02');
  await server.addEmployee('Zed', 'P03');
  const kiosk = await server.addDevice('Front door');
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/');
  await page.locator('.live', { hasText: 'Live' }).waitFor();
  const rows = page.locator('[data-row]');
  const names = () => rows.locator('.row-title').allTextContents();
  assert.deepEqual(await names(), ['Ada Lovelace', 'Grace Hopper', 'Zed']);
  await page.locator('[data-count="not_due"]', { hasText: /^3$/u }).waitFor();

  // A punch at a kiosk, and one by hand, appear without a reload.
  await server.punch(kiosk, 'hopper');
  await page.locator('[data-count="present"]', { hasText: /^1$/u }).waitFor();
  const grace = rows.filter({ hasText: 'Grace Hopper' });
  await grace.getByText('Present').waitFor();
  await grace.locator('time', { hasText: /^\d\d:\d\d/u }).waitFor();
  await server.punchByHand(ada, 'in', 'Forgot the badge');
  await page.locator('[data-count="present"]', { hasText: /^2$/u }).waitFor();
  await assertAccessible(page);
  await picture(page, 'board');

  // Filters and sorting are in the address, so they survive a reload.
  await page.getByRole('button', { name: /Present/u }).click();
  assert.deepEqual(await names(), ['Ada Lovelace', 'Grace Hopper']);
  await page.getByRole('button', { name: 'Name' }).click();
  await page.getByRole('button', { name: 'Name' }).click();
  assert.deepEqual(await names(), ['Grace Hopper', 'Ada Lovelace']);
  await page.reload();
  await rows.first().waitFor();
  assert.deepEqual(await names(), ['Grace Hopper', 'Ada Lovelace']);
  await page.getByRole('searchbox').fill('p02');
  await until('one row is left', async () => (await names()).join() === 'Ada Lovelace');

  // The roll call lists who is here.
  await page.getByRole('link', { name: 'Roll call' }).click();
  await page.getByRole('heading', { name: 'Roll call' }).waitFor();
  await page.getByText('2 here on').waitFor();
  await assertAccessible(page);
  await page.emulateMedia({ media: 'print' });
  assert.ok(await page.getByRole('button', { name: 'Print' }).isHidden());
  await picture(page, 'roll-call-printed');
  await page.emulateMedia({ media: 'screen' });

  // Yesterday nobody was here.
  await page.goto('/');
  await rows.first().waitFor();
  await page.getByRole('button', { name: 'The day before' }).click();
  await page.locator('[data-count="present"]', { hasText: /^0$/u }).waitFor();
  assert.equal(await rows.count(), 3);
  await page.getByRole('columnheader', { name: 'Worked', exact: true }).waitFor();
  await page.goBack();
  await page.locator('[data-count="present"]', { hasText: /^2$/u }).waitFor();

  // The board counts open time. The day of a person does not yet, and says so.
  await page.getByRole('columnheader', { name: 'Worked so far' }).waitFor();
  const month = new URL(await grace.getByRole('link').getAttribute('href'), server.origin);
  await page.goto(`${month.pathname}${month.search}&day=${month.searchParams.get('month')}`);
  await page.getByRole('dialog').getByText(/^Still at work since \d\d:\d\d\. These hours are added at the punch out\. Until then, the board shows them as Worked so far\.$/u).waitFor();
  await page.goto('/');
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto('/');
    await phone.locator('[data-row]').first().waitFor();
    await assertAccessible(phone);
    await picture(phone, `phone-board-${colorScheme}`);
    assertClean(phone);
  }
});

test('a date that does not exist is explained', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/?date=2026-02-30');
  await page.getByRole('alert').getByText(/date/iu).waitFor();
  assertClean(page);
});

// The timesheets of a period: filtered, reviewed, approved, locked and unlocked.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin();
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

const addPunch = ({ id }, kind, at) => server.ask('POST', `/api/employees/${id}/corrections`, { action: 'add', kind, at, reason: 'Forgot to punch' });
const states = async () => Object.fromEntries((await server.ask('GET', '/api/timesheets?period=2026-03-01')).items.map(({ name, state }) => [name, state]));

test('the timesheets of a month are reviewed, approved, locked and unlocked', async () => {
  const ada = await server.addEmployee('Ada Lovelace', 'P01');
  const grace = await server.addEmployee('Grace Hopper', 'P02');
  const alan = await server.addEmployee('Alan Turing', 'P03');
  for (const person of [ada, grace, alan]) await addPunch(person, 'in', '2026-03-02T08:00:00Z');
  for (const person of [ada, grace]) await addPunch(person, 'out', '2026-03-02T16:30:00Z');
  await server.ask('POST', `/api/timesheets/${grace.id}:2026-03-01/submit`);

  const page = await browser.page({ server, signedIn: true });
  await page.goto('/timesheets?date=2026-03-15');
  await page.getByText('March 2026', { exact: true }).waitFor();
  const row = (name) => page.locator('[data-row]', { hasText: name });
  await row('Grace Hopper').getByText('Submitted').waitFor();
  assert.equal(await page.locator('[data-count="open"]').textContent(), '2');
  await page.getByRole('button', { name: /1\s+Submitted/u }).click();
  assert.equal(await page.locator('[data-row]').count(), 1);
  await page.getByRole('button', { name: /1\s+Submitted/u }).click();
  await page.getByRole('searchbox').fill('p02');
  await row('Alan Turing').waitFor({ state: 'detached' });
  await page.getByRole('searchbox').fill('');
  await row('Alan Turing').waitFor();
  await assertAccessible(page);
  await picture(page, 'timesheets');

  // The review shows figures and what has to be settled; only what is complete is approved.
  await page.getByLabel('Select all 3').check();
  await page.getByRole('button', { name: 'Review and approve (3)' }).click();
  const review = page.getByRole('dialog', { name: 'Approve 3 timesheets' });
  const line = (person) => review.locator(`[data-sheet="${person.id}:2026-03-01"]`);
  await line(grace).getByText('8:30').first().waitFor();
  await line(alan).getByText('(No out)').waitFor();
  await assertAccessible(page);
  await picture(page, 'timesheets-review');
  await review.getByRole('button', { name: 'Approve 2 timesheets' }).click();
  await review.getByText('2 timesheets approved.').waitFor();
  assert.deepEqual(await states(), { 'Ada Lovelace': 'approved', 'Alan Turing': 'open', 'Grace Hopper': 'approved' });
  await review.getByRole('button', { name: 'Close' }).last().click();

  // One is opened again while the question is there, so that its lock is refused with the reason.
  await row('Ada Lovelace').getByText('Approved').waitFor();
  await page.getByRole('button', { name: 'Lock (2)' }).click();
  const question = page.getByRole('dialog', { name: 'Lock 2 timesheets?' });
  await server.ask('POST', `/api/timesheets/${ada.id}:2026-03-01/unlock`);
  await question.getByRole('button', { name: 'Lock', exact: true }).click();
  await page.getByText(/^1 timesheet locked\. One was refused:/u).waitFor();
  await page.getByText(/Ada Lovelace, March 2026: The timesheet is open, and must be approved/u).waitFor();
  await row('Grace Hopper').getByText('Locked').waitFor();
  assert.equal((await states())['Grace Hopper'], 'locked');
  await picture(page, 'timesheets-refused');

  // Unlock asks first.
  await page.getByRole('button', { name: 'Unlock the timesheet of Grace Hopper' }).click();
  await page.getByText(/^Grace Hopper, March 2026\. .+ are given back in the next open period\./u).waitFor();
  await page.getByRole('dialog', { name: 'Unlock this timesheet?' }).getByRole('button', { name: 'Unlock' }).click();
  await page.getByText('The timesheet of Grace Hopper, March 2026, is open again.').waitFor();
  assert.equal((await states())['Grace Hopper'], 'open');

  // Other periods, also without a mouse.
  await page.getByRole('button', { name: 'The period before' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('February 2026', { exact: true }).waitFor();
  await page.goBack();
  await page.getByText('March 2026', { exact: true }).waitFor();
  assertClean(page);

  const phone = await browser.page({ server, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto('/timesheets?date=2026-03-15');
  await phone.locator('[data-row]').first().waitFor();
  await assertAccessible(phone);
  await picture(phone, 'timesheets-phone-dark');
  assertClean(phone);
});

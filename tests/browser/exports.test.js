// Exports: choices in the address, a preview, the file, and layouts for payroll.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin();
  browser = await Browser.start('hopper');
  await server.addLeaveKind('Sick days');
  for (const [name, code, out] of [
    ['Grace Hopper', 'P01', '16:30'],
    ['=Ada', 'P02', '12:00'],
  ]) {
    const { id } = await server.addEmployee(name, code);
    for (const [kind, time] of [
      ['in', '08:00'],
      ['out', out],
    ]) {
      await server.ask('POST', `/api/employees/${id}/corrections`, { action: 'add', kind, at: `2026-03-02T${time}:00Z`, reason: 'Forgot to punch' });
    }
  }
});
after(async () => {
  await browser?.end();
  await server?.end();
});

/** Clicks the link to the file, and returns its name and text. */
async function download(page) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()]);
  return { name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8') };
}

test('days are previewed and downloaded as CSV, and the choices are in the address', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/');
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Exports' }).click();
  await page.getByRole('radio', { name: /^Days/u }).check();
  await page.getByRole('radio', { name: 'Other dates' }).check();
  await page.getByLabel('First date').fill('2026-03-31');
  await page.getByLabel('Last date').fill('2026-03-01');
  // Impossible dates have no file, and say so.
  await page.getByText('The last date is before the first one.').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Download' }).count(), 0);
  await page.getByLabel('First date').fill('2026-03-02');
  await page.getByLabel('Last date').fill('2026-03-02');
  await page.getByRole('combobox', { name: /^Person/u }).fill('Nobody Here');
  await page.keyboard.press('Tab');
  await page.getByText('Nobody has this name or staff number').waitFor();
  await page.getByRole('combobox', { name: /^Person/u }).fill('');
  await page.keyboard.press('Tab');
  await page.getByRole('radio', { name: /^Semicolon/u }).check();
  await page.getByRole('radio', { name: /^Hours and minutes/u }).check();
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  const rows = page.getByRole('region', { name: 'First rows' }).locator('tbody tr');
  await rows.filter({ hasText: 'Grace Hopper' }).getByText('8:30').first().waitFor();
  assert.equal(await rows.count(), 2);
  await assertAccessible(page);
  await picture(page, 'exports');

  const { name, text } = await download(page);
  assert.equal(name, 'days_2026-03-02_2026-03-02.csv');
  const lines = text.trim().split('\r\n');
  assert.equal(lines.length, 3);
  const worked = lines[0].split(';').indexOf('worked');
  assert.equal(lines.find((line) => line.includes('Grace Hopper')).split(';')[worked], '8:30');
  assert.ok(text.includes("'=Ada"), 'a name is not a formula');

  // A bookmark has everything; a relative period stays relative.
  await page.reload();
  assert.ok(await page.getByRole('radio', { name: /^Semicolon/u }).isChecked());
  await page.waitForURL(/what=days.*separator=semicolon/u);
  await page.getByRole('radio', { name: 'Last month' }).check();
  await page.waitForURL((url) => url.searchParams.get('period') === 'last_month' && !url.searchParams.has('from'));

  // Balances are never approved.
  await page.goto('/exports?what=balances&from=2026-03-02&to=2026-03-02');
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  await page.getByRole('columnheader', { name: 'Balance end' }).waitFor();
  assert.equal(await page.getByLabel('Only what is approved').count(), 0);
  await rows.filter({ hasText: 'Grace Hopper' }).getByText('8:30').first().waitFor();

  // Names that people chose do not say what a number is.
  await page.goto('/exports?what=days&from=2026-03-02&to=2026-03-02');
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  const heads = page.getByRole('region', { name: 'First rows' }).getByRole('columnheader');
  await heads.filter({ hasText: 'Leave: Sick days' }).waitFor();
  const sick = (await heads.allTextContents()).indexOf('Leave: Sick days');
  assert.equal(await rows.filter({ hasText: 'Grace Hopper' }).locator('td').nth(sick).textContent(), '0:00');

  // What the service refuses is shown.
  await page.goto('/exports?what=days&from=2026-03-02&to=2026-03-02&employee=00000000-0000-7000-8000-0000000000ff');
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  await page.getByRole('alert').waitFor();

  // One person, and a workbook.
  await page.goto('/exports?what=timesheets&from=2026-03-01&to=2026-03-31');
  await page.getByRole('combobox', { name: /^Person/u }).fill('P01');
  await page.keyboard.press('Tab');
  await page.getByRole('radio', { name: 'JSON' }).check();
  const json = JSON.parse((await download(page)).text);
  assert.deepEqual(
    json.map((row) => [row.employee_name, row.worked]),
    [['Grace Hopper', 8.5 * 3600]],
  );
  await page.getByRole('radio', { name: /^Excel/u }).check();
  const workbook = await download(page);
  assert.match(workbook.name, /\.xlsx$/u);
  assert.ok(workbook.text.startsWith('PK'));
  assertClean(page);

  const phone = await browser.page({ server, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto('/exports');
  await phone.getByRole('link', { name: 'Download' }).waitFor();
  await assertAccessible(phone);
  await picture(phone, 'exports-phone-dark');
  assertClean(phone);
});

test('a layout for payroll is copied, changed, and used', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/exports?from=2026-03-01&to=2026-03-31');
  await page.getByRole('radio', { name: /^Payroll/u }).check();
  await page.getByRole('checkbox', { name: 'Only what is approved', checked: true }).waitFor();
  await page.getByText('Choose a layout.').waitFor();
  await page.getByLabel('Layout', { exact: true }).selectOption('Xero');
  await page.getByText('What is in it').click();
  await page.getByText('Ordinary Hours').waitFor();
  await page.getByRole('button', { name: 'Copy this layout' }).click();
  const form = page.getByRole('dialog', { name: 'New layout' });
  await form.getByLabel('Name', { exact: true }).fill('');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('Type a name').waitFor();
  await form.getByLabel('Name', { exact: true }).fill('Our payroll');
  await form.getByLabel('Wage type of Worked, without overtime').fill('100');
  await form.getByRole('button', { name: 'Remove Overtime', exact: true }).click();
  await form.getByRole('button', { name: 'Remove Overtime of weeks' }).click();
  await form.getByText('so add “Overtime” and “Overtime of weeks”, too.').waitFor();
  await form.getByLabel('Between cells').selectOption('Semicolon');
  await assertAccessible(page);
  await picture(page, 'exports-layout');
  await form.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  const [layout] = (await server.ask('GET', '/api/payroll-layouts')).items;
  assert.equal(layout.name, 'Our payroll');

  // Nothing is approved yet, so only without that limit there is something to pay.
  await page.getByLabel('Only what is approved').uncheck();
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  const row = page.getByRole('region', { name: 'First rows' }).locator('tr', { hasText: 'Grace Hopper' });
  await row.getByText('100', { exact: true }).waitFor();
  await row.getByText('8:30', { exact: true }).waitFor();
  await row.getByText('open', { exact: true }).waitFor();
  const { text } = await download(page);
  assert.match(text, /Grace Hopper;02\/03\/2026;8\.50;100/u);

  // It is changed and removed.
  await page.getByRole('button', { name: 'Change this layout' }).click();
  const change = page.getByRole('dialog', { name: 'Change Our payroll' });
  await change.getByLabel('Wage type of Worked, without overtime').fill('200');
  await change.getByRole('button', { name: 'Save' }).click();
  await change.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Show the first rows' }).click();
  await row.getByText('200', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByRole('dialog', { name: 'Remove Our payroll?' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('Choose a layout.').waitFor();
  assert.deepEqual((await server.ask('GET', '/api/payroll-layouts')).items, []);
  assertClean(page);
});

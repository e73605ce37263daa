// The rules of a site: a preset, single values with their words, and rules by date.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
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

/** Returns the first date of a month some months from now. */
function month(later) {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + later, 1)).toISOString().slice(0, 10);
}

test('an office manager starts from a preset, changes single rules, and removes earlier ones', async () => {
  const [site] = await server.sites();
  const rules = () => server.list(`/api/sites/${site.id}/rules`);
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/sites');
  await page.getByRole('link', { name: 'Rules of Main site' }).click();
  await page.getByText('No rules are set for this site yet').waitFor();
  const now = page.getByRole('region', { name: 'Now' });
  await now.getByText('Every minute late is reported.').waitFor();
  await assertAccessible(page);
  await picture(page, 'site-rules-none');

  // The preset says what it does, and fills in the fields.
  await page.getByRole('button', { name: 'Change the rules', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Change the rules' });
  assert.equal(await dialog.getByLabel('Hold from').inputValue(), month(0));
  await dialog.getByLabel('Least rest between days').fill('9');
  await dialog.getByLabel('Germany').check();
  const said = dialog.locator('.preview');
  await said.getByText('Breaks: 30 minutes after more than 6:00 h of work, 45 minutes after more than 9:00 h of work, in parts of at least 15 minutes. A break that is too short is reported.').waitFor();
  await said.getByText('Counted apart: night (23:00 to 06:00 of the next day); sunday (all day, Sunday); holiday (all day, holidays).').waitFor();
  assert.equal(await dialog.getByLabel('Least rest between days').inputValue(), '11:00');
  await dialog.getByLabel('Period of a timesheet').selectOption('Two weeks');
  await dialog.getByLabel('A date on which two weeks begin').fill('2026-01-12');
  await dialog.getByLabel('Four eyes').check();
  await dialog.getByLabel('Ask for overtime').check();
  await dialog.getByLabel('Start of the workday').fill('03:00');
  await assertAccessible(page);
  await picture(page, 'site-rules-preset');

  // What the service refuses is beside its field, and nothing typed is lost.
  await dialog.getByLabel('Longest day').fill('ten');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.locator('.field', { has: page.getByLabel('Longest day') }).getByText(/^Must be a length of time/u).waitFor();
  assert.equal(await dialog.getByLabel('Longest day').inputValue(), 'ten');
  assert.equal(await dialog.getByLabel('Start of the workday').inputValue(), '03:00');
  await picture(page, 'site-rules-refused');
  await dialog.getByLabel('Longest day').fill('9.5');
  await dialog.getByLabel('Grace for coming late').fill('3');
  await dialog.getByText('Up to 3 minutes late is forgiven. Beyond that, all of it counts.').waitFor();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await now.getByText('Period of a timesheet: two weeks. Two weeks begin with the week of Monday, January 12, 2026. Another person must decide on what a person asked for or entered. Approving a timesheet with overtime asks whether the overtime is approved, too.').waitFor();
  await now.getByText('More than 9:30 h of work a day is reported.').waitFor();
  const [set, ...others] = await rules();
  assert.equal(others.length, 0);
  assert.deepEqual([set.from, set.period, set.four_eyes], [month(0), 'two_weeks', true]);
  const { cut_off, grace_late, grace_early, breaks, bands, max_day, min_rest } = set.rules;
  assert.deepEqual({ cut_off, grace_late, grace_early, max_day, min_rest }, { cut_off: '03:00', grace_late: '3m', grace_early: '5m', max_day: '9h30m', min_rest: '11h' });
  assert.deepEqual(breaks, { mode: 'warn', steps: [{ after: '6h', total: '30m' }, { after: '9h', total: '45m' }], piece: '15m' });
  assert.deepEqual(bands.map(({ name, days }) => [name, days ?? []]), [['night', []], ['sunday', ['sun']], ['holiday', ['holiday']]]);
  await assertAccessible(page);
  await picture(page, 'site-rules-now');

  // Other rules from next month on: every kind of field.
  await page.getByRole('button', { name: 'Change the rules', exact: true }).click();
  assert.equal(await dialog.getByLabel('Hold from').inputValue(), month(1));
  await dialog.getByLabel('Deduct what is missing').check();
  await dialog.getByRole('button', { name: 'Remove step 2' }).click();
  await dialog.getByLabel('Short breaks are paid').check();
  await dialog.getByLabel('Longest paid break').fill('10');
  await dialog.getByLabel('Round', { exact: true }).selectOption('The first in and the last out of a day');
  await dialog.getByLabel('Direction').selectOption('Always in favor of the employee');
  await dialog.getByLabel('Beyond a number of hours').check();
  await dialog.getByLabel('Hours of a day').fill('7:42');
  await dialog.getByLabel('Overtime beyond hours a week').fill('40');
  await dialog.getByRole('button', { name: 'Remove figure 2' }).click();
  await dialog.getByRole('group', { name: 'Figure 1' }).getByLabel('Sat').check();
  await dialog.getByLabel('A week begins on').selectOption('Sunday');
  await dialog.getByLabel('Do not count time before the shift').check();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.locator(`[data-from="${month(1)}"]`).getByText('Later', { exact: true }).waitFor();
  const changed = (await rules()).find(({ from }) => from === month(1)).rules;
  assert.deepEqual(changed.breaks, { mode: 'deduct', steps: [{ after: '6h', total: '30m' }], piece: '15m' });
  assert.deepEqual(changed.paid_breaks, { up_to: '10m', total: null });
  assert.deepEqual(changed.rounding, { of: 'punch', to: '15m', mode: 'employee' });
  assert.deepEqual([changed.overtime_day, changed.overtime_week, changed.week_starts, changed.clip], ['7h42m', '40h', 'sun', true]);
  assert.deepEqual(changed.bands.map(({ name, days }) => [name, days ?? []]), [['night', ['sat']], ['holiday', ['holiday']]]);

  // The later rules are opened and saved again: nothing changes on the way.
  await page.locator(`[data-from="${month(1)}"]`).getByRole('button', { name: /^Change/u }).click();
  await page.getByRole('dialog', { name: 'Change these rules' }).getByRole('button', { name: 'Save' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual((await rules()).find(({ from }) => from === month(1)).rules, changed);
  await picture(page, 'site-rules-dates');

  await page.locator(`[data-from="${month(1)}"]`).getByRole('button', { name: /^Remove/u }).click();
  await page.getByRole('dialog', { name: /^Remove the rules/u }).getByRole('button', { name: 'Remove' }).click();
  await until('the later rules are removed', async () => (await rules()).length === 1);
  await page.locator(`[data-from="${month(1)}"]`).waitFor({ state: 'detached' });
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto(`/site?id=${site.id}`);
    await phone.getByRole('button', { name: 'Change the rules', exact: true }).click();
    await phone.getByLabel('California').check();
    await assertAccessible(phone);
    await picture(phone, `site-rules-phone-${colorScheme}`);
    assertClean(phone);
  }
});

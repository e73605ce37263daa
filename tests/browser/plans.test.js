// Plans: an office manager sets up a night shift and a cycle, assigns people, and adds holidays and kinds of leave.

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

/** Returns the date some days from today. */
const day = (later) => new Date(Date.now() + later * 86_400_000).toISOString().slice(0, 10);

test('a night shift, a cycle and people who work it', async () => {
  const people = { ann: await server.addEmployee('Ann Night', 'N1'), bob: await server.addEmployee('Bob Night', 'N2') };
  await server.addEmployee('Carl Day', 'D1');
  const page = await browser.page({ server, signedIn: true });

  // Shifts. The dialog says in words what is typed, and what the service refuses is shown beside its field.
  await page.goto('/plans?part=shifts');
  await page.getByText('There is no shift yet').waitFor();
  await page.getByRole('button', { name: 'Add a shift' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a shift' });
  await adding.getByLabel('Name').fill('Night');
  await adding.getByLabel('Starts').fill('22:00');
  await adding.getByLabel('Ends').fill('06:00');
  await adding.getByText('22:00 to 06:00 of the next day, 30 minutes unpaid break, 7:30 h').waitFor();
  await adding.getByLabel('Unpaid break').fill('600');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await adding.locator('.field', { hasText: 'Unpaid break' }).getByText('Does not fit into the shift').waitFor();
  assert.equal(await adding.getByLabel('Name').inputValue(), 'Night');
  await assertAccessible(page);
  await picture(page, 'plans-shift-refused');
  await adding.getByLabel('Unpaid break').fill('30');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await page.locator('[data-entry]').getByText('22:00 to 06:00 of the next day, 30 minutes unpaid break, 7:30 h').waitFor();
  // The focus is back where it was.
  await until('the focus returns', () => page.evaluate(() => document.activeElement?.textContent === 'Add a shift'));

  await page.getByRole('button', { name: 'Add a shift' }).click();
  await adding.getByLabel('Name').fill('night');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await adding.locator('.field', { hasText: 'Name' }).getByText('Another shift has this name').waitFor();
  await adding.getByLabel('Name').fill('Office');
  await adding.getByLabel('Flexible hours').check();
  await adding.getByLabel('Starts').fill('05:00');
  await adding.getByLabel('Ends').fill('20:00');
  await adding.getByLabel('Hours of work').fill('7:42');
  await adding.getByText('7:42 h at any time from 05:00 to 20:00').waitFor();
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await page.locator('[data-entry]').getByText('7:42 h at any time').waitFor();
  const shifts = await server.list('/api/shifts');
  assert.deepEqual(
    shifts.map(({ name, from, to, unpaid_break, flexible, work }) => ({ name, from, to, unpaid_break, flexible, work })),
    [
      { name: 'Night', from: '22:00', to: '06:00', unpaid_break: '30m', flexible: false, work: null },
      { name: 'Office', from: '05:00', to: '20:00', unpaid_break: '0s', flexible: true, work: '7h42m' },
    ],
  );
  await assertAccessible(page);
  await picture(page, 'plans-shifts');

  // A cycle: four nights, four free days.
  await page.getByRole('navigation', { name: 'Parts of the plans' }).getByRole('link', { name: 'Cycles' }).click();
  await page.getByRole('button', { name: 'Add a cycle' }).click();
  const cycle = page.getByRole('dialog', { name: 'Add a cycle' });
  await cycle.getByLabel('Name').fill('Four on, four off');
  await cycle.getByLabel('First day').fill(day(0));
  await cycle.getByRole('button', { name: 'Add a day' }).click();
  await cycle.getByLabel('Day 5', { exact: true }).selectOption('Free');
  await cycle.getByText('Days (8)').waitFor();
  const preview = cycle.getByRole('table', { name: 'The next four weeks' });
  assert.match(await preview.locator(`[data-date="${day(3)}"]`).innerText(), /Night/u);
  assert.match(await preview.locator(`[data-date="${day(4)}"]`).innerText(), /free/u);
  assert.match(await preview.locator(`[data-date="${day(8)}"]`).innerText(), /Night/u);
  await assertAccessible(page);
  await picture(page, 'plans-cycle');
  await cycle.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('8 days: Night ×4, free ×4').waitFor();
  const [made] = await server.list('/api/cycles');
  const night = shifts[0].id;
  assert.deepEqual(made.shifts, [night, night, night, night, null, null, null, null]);

  // A shift of a cycle cannot be removed: the service says why.
  await page.getByRole('link', { name: 'Shifts', exact: true }).click();
  await page.getByRole('button', { name: 'Remove Night' }).click();
  await page.getByRole('dialog', { name: 'Remove Night?' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('The cycle Four on, four off has this shift: change the cycle first').waitFor();

  // Two people get it.
  await page.getByRole('link', { name: 'Who works when' }).click();
  await page.getByRole('button', { name: 'Assign', exact: true }).click();
  const assigning = page.getByRole('dialog', { name: 'Assign' });
  await assigning.getByRole('button', { name: 'Assign', exact: true }).click();
  await assigning.locator('.field', { hasText: 'People (0)' }).getByText('Must be 1 to 200').waitFor();
  await assigning.getByRole('searchbox').fill('n1');
  await assigning.getByRole('button', { name: 'Add Ann Night' }).click();
  await assigning.getByRole('searchbox').fill('');
  await assigning.getByRole('button', { name: 'Add Bob Night' }).click();
  await assigning.getByLabel('From').fill(day(0));
  await assertAccessible(page);
  await picture(page, 'plans-assign');
  await assigning.getByRole('button', { name: 'Assign to 2 people' }).click();
  await page.getByText('Assigned to 2 people').waitFor();
  const assigned = await server.list('/api/assignments');
  assert.deepEqual(assigned.map((one) => [one.employee_name, one.cycle_name, one.from, one.to]).sort(), [
    ['Ann Night', 'Four on, four off', day(0), null],
    ['Bob Night', 'Four on, four off', day(0), null],
  ]);

  // The calendar shows it; an early shift after a night overlaps, and the service says which.
  const cell = (name, later) => page.locator(`[data-row="${people[name].id}"] [data-date="${day(later)}"]`);
  await cell('ann', 0).getByText('Night').waitFor();
  await page.getByRole('row', { name: /Carl Day/u }).getByText('–').first().waitFor();
  await cell('ann', 1).click();
  await assigning.getByRole('checkbox', { name: /^Office/u }).check();
  await assigning.getByRole('button', { name: 'Assign', exact: true }).click();
  await assigning.locator('.field', { hasText: 'Choose none for a day off' }).getByText(/^Night on .+ overlaps Office on .+/u).waitFor();
  await picture(page, 'plans-assign-refused');
  await assigning.getByRole('checkbox', { name: /^Office/u }).uncheck();
  await assigning.getByRole('button', { name: 'Assign', exact: true }).click();
  await cell('ann', 1).getByText('free').waitFor();
  await cell('bob', 1).getByText('Night').waitFor();
  await assertAccessible(page);
  await picture(page, 'plans-rota');

  // The day off is removed, and the cycle holds again.
  await page.getByRole('button', { name: 'Remove Day off of Ann Night' }).click();
  await page.getByRole('dialog', { name: 'Remove the assignment of Ann Night?' }).getByRole('button', { name: 'Remove' }).click();
  await cell('ann', 1).getByText('Night').waitFor();

  // All of a site.
  await page.getByRole('button', { name: 'Assign', exact: true }).click();
  await assigning.getByRole('button', { name: 'Add all' }).click();
  await assigning.getByRole('button', { name: 'Assign to 3 people' }).waitFor();
  await assigning.getByRole('button', { name: 'Cancel' }).click();
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto('/plans');
    await phone.getByText('Night', { exact: true }).first().waitFor();
    await assertAccessible(phone);
    await picture(phone, `plans-phone-${colorScheme}`);
    await phone.getByRole('button', { name: 'Assign', exact: true }).click();
    await phone.getByRole('button', { name: 'Add Ann Night' }).waitFor();
    await picture(phone, `plans-phone-assign-${colorScheme}`);
    await phone.goto('/plans?part=cycles');
    await phone.getByRole('button', { name: 'Change Four on, four off' }).click();
    await phone.getByText('Days (8)').waitFor();
    await assertAccessible(phone);
    await picture(phone, `plans-phone-cycle-${colorScheme}`);
    assertClean(phone);
  }
});

test('holidays and kinds of leave', async () => {
  await server.addEmployee('Dora Day', 'D2');
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/plans?part=holidays');
  await page.getByRole('button', { name: 'Add a calendar' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add a calendar' });
  await dialog.getByLabel('Name of the calendar').fill('Berlin');
  await dialog.getByRole('button', { name: 'Add a holiday' }).click();
  await dialog.getByLabel('Date of holiday 1').fill(day(2));
  await dialog.getByLabel('Name of holiday 1').fill('Founders’ Day');
  await dialog.getByRole('button', { name: 'Add a holiday' }).click();
  await dialog.getByLabel('Name of holiday 2').fill('   ');
  await dialog.getByLabel('Date of holiday 2').fill(day(30));
  await dialog.getByLabel('Length of holiday 2').selectOption('Half day');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.locator('.field', { has: page.getByLabel('Name of holiday 2') }).getByText('Must not be empty').waitFor();
  await assertAccessible(page);
  await picture(page, 'plans-holidays-refused');
  await dialog.getByLabel('Name of holiday 2').fill('Eve');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText(/All sites, 2 holidays\. Next: Founders’ Day \(.+\), Eve \(.+, half\)/u).waitFor();
  const [calendar] = await server.list('/api/holidays');
  assert.deepEqual([calendar.name, calendar.sites, calendar.days], ['Berlin', [], [
    { day: day(2), part: 'whole', name: 'Founders’ Day' },
    { day: day(30), part: 'half', name: 'Eve' },
  ]]);
  await assertAccessible(page);
  await picture(page, 'plans-holidays');

  // A holiday is taken out again.
  await page.getByRole('button', { name: 'Change Berlin' }).click();
  const changing = page.getByRole('dialog', { name: 'Change the calendar' });
  await changing.getByRole('button', { name: 'Remove holiday 2' }).click();
  await changing.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/All sites, 1 holiday\./u).waitFor();
  assert.equal((await server.list('/api/holidays'))[0].days.length, 1);

  await page.getByRole('link', { name: 'Kinds of leave' }).click();
  await page.getByRole('button', { name: 'Add a kind of leave' }).click();
  const leave = page.getByRole('dialog', { name: 'Add a kind of leave' });
  await leave.getByLabel('Name').fill('Training');
  await leave.getByLabel('Paid').uncheck();
  await leave.getByRole('button', { name: 'Add', exact: true }).click();
  await page.locator('[data-entry]', { hasText: 'Training' }).getByText('Not paid').waitFor();
  assert.equal((await server.list('/api/leave-kinds')).find(({ name }) => name === 'Training').paid, false);
  await assertAccessible(page);
  await picture(page, 'plans-leave-kinds');
  await page.getByRole('button', { name: 'Remove Training' }).click();
  await page.getByRole('dialog', { name: 'Remove Training?' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('Training was removed').waitFor();
  await until('it is removed', async () => !(await server.list('/api/leave-kinds')).some(({ name }) => name === 'Training'));

  // The holiday is in the calendar of the site.
  await page.getByRole('link', { name: 'Who works when' }).click();
  await page.getByText('Founders’ Day').first().waitFor();
  assertClean(page);
});

test('holidays of a file are compared, looked at and saved', async () => {
  const events = [[day(400), 'New Year'], [day(401), 'Day after']].map(([date, name]) => `BEGIN:VEVENT\r\nUID:${date}\r\nDTSTART;VALUE=DATE:${date.replaceAll('-', '')}\r\nSUMMARY:${name}\r\nEND:VEVENT\r\n`);
  const file = (text) => ({ name: 'holidays.ics', mimeType: 'text/calendar', buffer: Buffer.from(text) });
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/plans?part=holidays');
  await page.getByRole('button', { name: 'Change Berlin' }).click();
  const dialog = page.getByRole('dialog', { name: 'Change the calendar' });
  await dialog.getByLabel('From an .ics file').setInputFiles(file('no calendar'));
  await dialog.getByRole('alert').waitFor();
  await picture(page, 'plans-holidays-bad-file');
  // What was typed stays.
  await dialog.getByLabel('Length of holiday 1').selectOption('Half day');
  await dialog.getByRole('button', { name: 'Add a holiday' }).click();
  await dialog.getByLabel('Name of holiday 2').fill('Typed');
  await dialog.getByLabel('Date of holiday 2').fill(day(3));
  await dialog.getByLabel('From an .ics file').setInputFiles(file(`BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\n${events.join('')}END:VCALENDAR\r\n`));
  await dialog.getByText('2 holidays added, 0 renamed, 0 removed. Nothing is saved yet').waitFor();
  assert.equal((await server.list('/api/holidays'))[0].days.length, 1);
  await assertAccessible(page);
  await picture(page, 'plans-holidays-file');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/All sites, 4 holidays/u).waitFor();
  const [{ days }] = await server.list('/api/holidays');
  assert.deepEqual(days.map(({ name, part }) => [name, part ?? 'whole']), [['Founders’ Day', 'half'], ['Typed', 'whole'], ['New Year', 'whole'], ['Day after', 'whole']]);
  assertClean(page);
});

test('a manager of a site changes what belongs to it, and a viewer only looks', async () => {
  const harbor = await server.addSite('Harbor', 'Europe/Berlin');
  const accounts = {};
  for (const account of [{ role: 'manager', site: 'Harbor' }, { role: 'viewer' }, { role: 'employee', code: 'N1' }]) {
    const client = await server.addAccount({ email: `${account.role}@example.org`, ...account });
    accounts[account.role] = client.cookie;
  }

  const open = async (role) => {
    const page = await browser.page({ server });
    await page.context().addCookies([accounts[role]]);
    return page;
  };
  const manager = await open('manager');
  await manager.goto('/plans?part=holidays');
  await manager.getByRole('button', { name: 'Add a calendar' }).click();
  const dialog = manager.getByRole('dialog', { name: 'Add a calendar' });
  await dialog.getByLabel('Name of the calendar').fill('Port');
  assert.equal(await dialog.getByLabel('All sites').count(), 0);
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await manager.locator('[data-entry]', { hasText: 'Port' }).getByText('Harbor, 0 holidays').waitFor();
  assert.deepEqual((await server.list('/api/holidays')).find(({ name }) => name === 'Port').sites, [harbor.id]);
  // A calendar for all sites is not theirs.
  await manager.locator('[data-entry]', { hasText: 'Berlin' }).waitFor();
  assert.equal(await manager.getByRole('button', { name: /^(Change|Remove) Berlin/u }).count(), 0);
  assert.equal(await manager.getByRole('button', { name: /^(Change|Remove) Port/u }).count(), 2);
  await manager.goto('/plans?part=leave-kinds');
  await manager.getByText('Why people are away').waitFor();
  assert.equal(await manager.getByRole('button', { name: 'Add a kind of leave' }).count(), 0);

  const viewer = await open('viewer');
  for (const [part, shown] of [['shifts', '22:00 to 06:00'], ['cycles', 'Night ×4'], ['assignments', 'Two weeks from'], ['holidays', 'Founders’ Day']]) {
    await viewer.goto(`/plans?part=${part}`);
    await viewer.getByText(shown).first().waitFor();
    assert.equal(await viewer.getByRole('button', { name: /^(Add|Assign|Change|Remove)/u }).count(), 0, part);
  }
  await viewer.goto(`/site?id=${harbor.id}`);
  await viewer.getByText('No rules are set for this site yet').waitFor();
  assert.equal(await viewer.getByRole('button', { name: 'Change the rules' }).count(), 0);

  const employee = await open('employee');
  await employee.goto('/plans');
  await employee.getByText('Only managers and admins see the plans of all').waitFor();

  // An admin chooses the sites of a calendar, at least one.
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/plans?part=holidays');
  await page.getByRole('button', { name: 'Change Berlin' }).click();
  const changing = page.getByRole('dialog', { name: 'Change the calendar' });
  await changing.getByLabel('Only these sites').check();
  await changing.getByRole('button', { name: 'Save' }).click();
  await changing.getByText('Choose at least one site').waitFor();
  await changing.getByLabel('Harbor').check();
  await assertAccessible(page);
  await changing.getByRole('button', { name: 'Save' }).click();
  await page.locator('[data-entry]', { hasText: 'Berlin' }).getByText(/^Harbor, /u).waitFor();
  assertClean(manager, viewer, employee, page);
});

// The month of a person: hours are explained, corrected, approved, locked and printed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const HOUR = 3600;
/** A month that is over. */
const MARCH = '2025-03';

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

/** Opens a page of an account. */
async function pageOf(cookie, options = {}) {
  const page = await browser.page({ server, ...options });
  await page.context().addCookies([cookie]);
  return page;
}

const punched = (employee, day, kind, time) => server.correct(employee, { action: 'add', kind, at: `${MARCH}-${day}T${time}:00Z` });
const row = (page, day) => page.locator(`[data-day="${MARCH}-${day}"]`);

test('a manager settles a day, approves and locks the month, and adjusts it afterwards', async () => {
  const grace = await server.addEmployee('Grace Hopper', 'P01');
  await punched(grace, '03', 'in', '08:00');
  await punched(grace, '04', 'in', '08:00');
  await punched(grace, '04', 'out', '12:00');
  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/people#${grace.id}`);
  await page.getByRole('dialog', { name: 'Grace Hopper' }).getByRole('link', { name: 'Hours' }).click();
  await page.getByRole('heading', { name: 'Grace Hopper' }).waitFor();
  await page.getByLabel('Month', { exact: true }).and(page.locator('input')).fill(MARCH);
  await row(page, '03').getByText('No out').waitFor();
  for (const name of ['Days 1–2', 'Days 3–9', 'Day 31']) await page.getByRole('rowheader', { name, exact: true }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Approve', exact: true }).isDisabled());
  await assertAccessible(page);

  // The timesheet leads to the day that blocks it. The missing out is added there.
  await page.locator('.timesheet').getByRole('link', { name: 'Mon, Mar 3' }).click();
  const sheet = page.getByRole('dialog', { name: 'Monday, March 3, 2025' });
  await sheet.getByText('The out after 08:00 is missing').waitFor();
  await sheet.getByText('A correction counts at once').waitFor();
  await sheet.getByRole('button', { name: 'Add a punch' }).click();
  assert.equal(await sheet.getByLabel('Kind').inputValue(), 'out');
  await sheet.getByLabel('Time').fill('16:30');
  await sheet.getByRole('button', { name: 'Add the punch' }).click();
  await sheet.getByText('Say why').waitFor();
  // What is typed stays when something else changes the page.
  await server.addEmployee('Ada Lovelace', 'P02');
  await sheet.getByLabel('Reason').fill('The kiosk was off');
  await picture(page, 'person-correction');
  await sheet.getByRole('button', { name: 'Add the punch' }).click();
  await page.getByText('Corrected. The hours are counted again.').waitFor();
  await sheet.getByText('Present from 08:00 to 16:30').waitFor();
  await sheet.locator('[data-correction]', { hasText: 'Add “out” at 16:30' }).getByText('Approved').waitFor();
  await assertAccessible(page);
  await page.keyboard.press('Escape');
  await row(page, '03').getByText('No out').waitFor({ state: 'detached' });
  const day = await server.workday(grace, `${MARCH}-03`);
  assert.deepEqual([day.worked, day.exceptions], [8.5 * HOUR, []]);

  // The month is approved and locked. Hours that changed since they were shown are not approved.
  let changes = 1;
  await page.route('**/approve', async (route) => {
    if (changes-- > 0) await punched(grace, '06', 'in', '08:00').then(() => punched(grace, '06', 'out', '09:00'));
    await route.continue();
  });
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await page.getByText('The hours have changed since they were shown').waitFor();
  await row(page, '06').getByText('1:00').first().waitFor();
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await page.getByRole('button', { name: 'Lock', exact: true }).click();
  await page.locator('.timesheet').getByText('Locked', { exact: true }).waitFor();
  assert.equal((await server.timesheet(grace, `${MARCH}-01`)).timesheet.state, 'locked');

  // Later, a punch of the locked month was wrong. The page asks before anything changes.
  await row(page, '04').getByRole('link').press('Enter');
  const next = page.getByRole('dialog', { name: 'Tuesday, March 4, 2025' });
  await next.getByRole('button', { name: 'Move “Out” at 12:00', exact: true }).click();
  await next.getByLabel('Time').fill('13:30');
  await next.getByLabel('Reason').fill('Stayed longer');
  await next.getByRole('button', { name: 'Move the punch' }).click();
  const question = page.getByRole('dialog', { name: 'This period is locked' });
  await question.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await next.getByLabel('Reason').inputValue(), 'Stayed longer');
  assert.deepEqual((await server.timesheet(grace, `${MARCH}-01`)).figures.adjustments, []);
  await next.getByRole('button', { name: 'Move the punch' }).click();
  await question.getByRole('button', { name: 'Make an adjustment' }).click();
  await next.getByText('Moved from 12:00').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.adjustments').getByText('Tue, Mar 4: worked +1:30').waitFor();
  const { figures } = await server.timesheet(grace, `${MARCH}-01`);
  assert.deepEqual([figures.adjustments[0].worked, figures.totals.worked], [1.5 * HOUR, 13.5 * HOUR]);
  await assertAccessible(page);
  await picture(page, 'person-locked');

  // An admin opens it again.
  await page.getByRole('button', { name: 'Open again' }).click();
  await page.getByRole('dialog', { name: 'Open this timesheet again?' }).getByRole('button', { name: 'Open again' }).click();
  await page.locator('.timesheet').getByText('Open', { exact: true }).waitFor();
  await row(page, '04').getByText('5:30').first().waitFor();
  assertClean(page);
});

test('an employee sees their own month, and asks for what a manager decides', async () => {
  const alan = await server.addEmployee('Alan Turing', 'E10');
  const other = await server.addEmployee('Joan Clarke', 'E11');
  await server.addLeaveKind('Vacation');
  await punched(alan, '05', 'in', '09:00');
  const { cookie: own } = await server.addAccount({ email: 'alan@example.org', role: 'employee', code: 'E10' });
  const page = await pageOf(own);
  await page.goto('/');
  await page.getByRole('heading', { name: 'Alan Turing' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Edit this person' }).count(), 0);
  await page.goto(`/person?id=${other.id}`);
  await page.getByRole('alert').first().waitFor();
  assert.equal(await page.getByText('Joan Clarke').count(), 0);

  // A request changes nothing until it is approved. The first one is withdrawn.
  await page.goto(`/person?month=${MARCH}&day=${MARCH}-05`);
  const sheet = page.getByRole('dialog', { name: 'Wednesday, March 5, 2025' });
  await sheet.getByText('It counts when a manager has approved it').waitFor();
  for (const [time, reason] of [['16:00', 'Forgot to punch'], ['17:00', 'It was 17:00']]) {
    await sheet.getByRole('button', { name: 'Add a punch' }).click();
    await sheet.getByLabel('Time').fill(time);
    await sheet.getByLabel('Reason').fill(reason);
    await sheet.getByRole('button', { name: 'Send the request' }).click();
    const request = sheet.locator('[data-correction]', { hasText: reason });
    await request.getByText('Waiting').waitFor();
    if (time === '17:00') continue;
    await request.getByRole('button', { name: 'Withdraw' }).click();
    await request.getByText('Withdrawn', { exact: true }).waitFor();
  }
  await assertAccessible(page);
  await page.keyboard.press('Escape');
  await row(page, '05').getByText('1 waiting').waitFor();
  assert.equal((await server.workday(alan, `${MARCH}-05`)).worked, 0);

  // So is leave. What the service refuses is said beside the field.
  for (const outcome of ['requested', 'refused']) {
    await page.getByRole('button', { name: 'Ask for leave' }).click();
    const form = page.getByRole('dialog', { name: 'Ask for leave' });
    await form.getByLabel('First day').fill(`${MARCH}-10`);
    await form.getByLabel('Last day').fill(`${MARCH}-11`);
    await form.getByRole('button', { name: 'Ask for leave' }).click();
    if (outcome === 'requested') await page.locator('[data-leave]').getByText('Waiting').waitFor();
    else await form.locator('.field-error').waitFor();
  }
  await page.keyboard.press('Escape');
  assertClean(page);

  const manager = await pageOf((await server.addAccount({ email: 'mia@example.org', role: 'manager' })).cookie);
  await manager.goto(`/person?id=${alan.id}&month=${MARCH}`);
  await manager.getByText('1 correction waits for a decision').waitFor();
  await manager.getByRole('button', { name: /^Approve: Vacation/u }).click();
  await manager.locator('[data-leave]').getByText('Approved').waitFor();
  await row(manager, '05').click();
  const deciding = manager.getByRole('dialog', { name: 'Wednesday, March 5, 2025' });
  await deciding.getByRole('button', { name: 'Approve: Add “out” at 17:00' }).click();
  await deciding.getByText('Present from 09:00 to 17:00').waitFor();
  assert.equal((await server.workday(alan, `${MARCH}-05`)).worked, 8 * HOUR);
  assert.deepEqual((await server.leaveOf(alan)).map(({ state }) => state), ['approved']);
  assertClean(manager);

  // The month is submitted. A viewer only reads.
  await page.reload();
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.locator('.timesheet').getByText('Submitted', { exact: true }).waitFor();
  const viewer = await pageOf((await server.addAccount({ email: 'vera@example.org', role: 'viewer' })).cookie);
  await viewer.goto(`/person?id=${alan.id}&month=${MARCH}&day=${MARCH}-05`);
  await viewer.getByText('Added by a correction').first().waitFor();
  const buttons = await viewer.getByRole('main').getByRole('button').allTextContents();
  assert.deepEqual(buttons.filter((text) => text && text !== 'Print'), []);
  assertClean(viewer);
});

test('a manager asks for their own leave, and does not decide on it', async () => {
  const mia = await server.addEmployee('Mia Manager', 'M01');
  const kind = await server.addLeaveKind('Training');
  const { cookie } = await server.addAccount({ email: 'mia.manager@example.org', role: 'manager', code: 'M01' });
  const page = await pageOf(cookie);
  await page.goto(`/person?month=${MARCH}`);
  await page.getByRole('button', { name: 'Ask for leave' }).click();
  const form = page.getByRole('dialog', { name: 'Ask for leave' });
  await form.getByLabel('Kind').selectOption('Training');
  await form.getByLabel('First day').fill(`${MARCH}-12`);
  assert.equal(await form.getByLabel('Approved').count(), 0);
  await form.getByRole('button', { name: 'Ask for leave' }).click();
  const actions = page.locator('[data-leave] .actions').getByRole('button');
  await actions.filter({ hasText: 'Withdraw' }).waitFor();
  assert.deepEqual(await actions.allTextContents(), ['Withdraw']);
  const [leave] = await server.leaveOf(mia);
  assert.deepEqual([leave.kind, leave.state], [kind.id, 'requested']);

  // When another person has approved it, it is not theirs to cancel.
  await server.ask('POST', `/api/leave/${leave.id}/approve`);
  await page.reload();
  await page.locator('[data-leave]').getByText('Approved', { exact: true }).waitFor();
  assert.equal(await actions.count(), 0);
  assertClean(page);
});

test('where the site wants two people, a correction of a manager waits for another one', async () => {
  const site = await server.addSite('Vault', 'UTC');
  const person = await server.addEmployee('Marie Curie', 'V01', site.id);
  await server.setRules(site.id, '2025-01-01', { four_eyes: true });
  await punched(person, '05', 'in', '09:00');
  const [page, other] = [await browser.page({ server, signedIn: true }), await pageOf((await server.addAccount({ email: 'max@example.org', role: 'manager', site: 'Vault' })).cookie)];
  const dialog = (of) => of.getByRole('dialog', { name: 'Wednesday, March 5, 2025' });
  for (const one of [page, other]) {
    await one.goto(`/person?id=${person.id}&month=${MARCH}&day=${MARCH}-05`);
    await dialog(one).getByText('Another person must approve a correction before it counts').waitFor();
    await dialog(one).getByText('Waiting', { exact: true }).waitFor();
  }
  assert.equal(await dialog(page).getByRole('button', { name: 'Approve', exact: false }).count(), 0);
  await dialog(other).getByRole('button', { name: 'Approve: Add “in” at 09:00' }).click();
  await dialog(other).getByText('Present from 09:00, without an out').waitFor();
  assertClean(page, other);
});

test('times are those of the clock at the site, also when clocks change', async () => {
  const site = await server.addSite('Kontor', 'Europe/Berlin');
  const person = await server.addEmployee('Night Owl', 'N01', site.id);
  const page = await browser.page({ server, signedIn: true, timezoneId: 'America/New_York' });
  const add = async (dialog, kind, { date, time, turn }) => {
    await dialog.getByRole('button', { name: 'Add a punch' }).click();
    await dialog.getByLabel('Kind').selectOption(kind);
    if (date) await dialog.getByLabel('Date').fill(date);
    await dialog.getByLabel('Time', { exact: true }).fill(time);
    if (turn) await dialog.getByLabel('this time comes twice').selectOption(turn);
    await dialog.getByLabel('Reason').fill('Forgot to punch');
    await dialog.getByRole('button', { name: 'Add the punch' }).click();
  };

  // The night on which clocks go back: the hour from 02:00 comes twice.
  await page.goto(`/person?id=${person.id}&month=2025-10&day=2025-10-25`);
  const autumn = page.getByRole('dialog', { name: 'Saturday, October 25, 2025' });
  await add(autumn, 'In', { time: '22:00' });
  await autumn.getByText('Present from 22:00').waitFor();
  await autumn.getByText('Times are in the time zone of the site (Europe/Berlin)').waitFor();
  await autumn.locator('[data-correction]').getByText(/:\d\d GMT\+[12]$/u).waitFor();
  await add(autumn, 'Out', { date: '2025-10-26', time: '02:30', turn: 'The second time' });
  await autumn.getByText('Present from 22:00 to 02:30').waitFor();
  await autumn.locator('[data-punch]', { hasText: '02:30' }).getByText('Sun, Oct 26').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('[data-day="2025-10-25"] .span', { hasText: '22:00–02:30 Sun, Oct 26' }).waitFor();
  const { spans, worked } = await server.workday(person, '2025-10-25');
  assert.deepEqual([spans[0].out, worked], ['2025-10-26T02:30:00+01:00', 5.5 * HOUR]);

  // In the night on which they go forward, there is no 02:30.
  await page.goto(`/person?id=${person.id}&month=2025-03&day=2025-03-30`);
  const spring = page.getByRole('dialog', { name: 'Sunday, March 30, 2025' });
  await add(spring, 'In', { time: '02:30' });
  await spring.getByText('This time does not exist: the clocks go forward').waitFor();
  await spring.getByLabel('Time', { exact: true }).fill('03:30');
  await spring.getByRole('button', { name: 'Add the punch' }).click();
  await page.getByText('Corrected. The hours are counted again.').first().waitFor();
  assertClean(page);
});

test('a month of 31 days with exceptions is printed on one page, and fits on a phone', async () => {
  const grete = await server.addEmployee('Grete Hermann', 'P31');
  await server.setRules(grete.site, `${MARCH}-01`, { preset: 'germany' });
  await server.plan(grete, `${MARCH}-01`, { name: 'Early shift', from: '08:00', to: '16:30', unpaid_break: '30m' });
  for (let date = 1; date <= 31; date += 1) {
    const day = String(date).padStart(2, '0');
    await punched(grete, day, 'in', '08:20');
    await punched(grete, day, 'out', '22:40');
  }
  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/person?id=${grete.id}&month=${MARCH}`);
  await row(page, '31').getByText('Long day').waitFor();
  const busy = await page.locator('[data-day]').evaluateAll((rows) => rows.filter((one) => one.querySelectorAll('.badge').length >= 3).length);
  assert.equal(busy, 31);
  const pdf = await page.pdf({ format: 'A4', preferCSSPageSize: true });
  assert.equal(pdf.toString('latin1').match(/\/Type\s*\/Page\b(?!s)/gu).length, 1);
  await page.setViewportSize({ width: 710, height: 1040 });
  await page.emulateMedia({ media: 'print' });
  for (const text of ['Grete Hermann', /P31/u, 'March 2025', 'Date, signature of the employee', 'Date, signature of the manager']) assert.ok(await page.getByText(text).first().isVisible(), String(text));
  assert.ok(await page.getByRole('button', { name: 'Print' }).isHidden());
  assert.ok(await page.getByRole('heading', { name: 'Leave' }).isHidden());
  await picture(page, 'person-printed');
  assertClean(page);

  for (const colorScheme of ['light', 'dark']) {
    const phone = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    await phone.goto(`/person?id=${grete.id}&month=${MARCH}`);
    await row(phone, '31').waitFor();
    await assertAccessible(phone);
    await picture(phone, `phone-person-${colorScheme}`);
    await row(phone, '31').getByRole('link').click();
    await phone.locator('[data-punch]').first().waitFor();
    await until('the day is open', () => phone.getByRole('dialog').isVisible());
    await assertAccessible(phone);
    await picture(phone, `phone-person-day-${colorScheme}`);
    assertClean(phone);
  }
});

// The inbox: corrections, leave and timesheets are decided in place, one by one and several at once; notices lead to what
// ends them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PASSWORD = 'twelve quiet herons';
const GRACE = { name: 'Grace Hopper', email: 'grace@example.org', password: PASSWORD, role: 'employee', code: 'P01' };
const MONA = { name: 'Mona Manager', email: 'mona@example.org', password: PASSWORD, role: 'manager', code: 'P09' };

let server;
let browser;
let manager;
before(async () => {
  server = await Server.startWithAdmin({ TIME_ZONE: 'Europe/Berlin' });
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

/** Asks for a correction, or makes it if the account may decide. */
const correct = (client, { id }, body) => client.ask('POST', `/api/employees/${id}/corrections`, { reason: 'Forgot to punch', ...body });
const addPunch = (client, person, kind, at) => correct(client, person, { action: 'add', kind, at });
const waiting = async () => (await server.ask('GET', '/api/corrections')).items;
const stateOf = async (sheet) => (await server.ask('GET', `/api/timesheets/${sheet}`)).timesheet.state;

test('requests are approved and rejected in place, with live updates and reasons', async () => {
  const grace = await server.addEmployee('Grace Hopper', 'P01');
  const mona = await server.addEmployee('Mona Manager', 'P09');
  const employee = await server.addAccount(GRACE);
  manager = await server.addAccount(MONA);
  const kind = await server.ask('POST', '/api/leave-kinds', { name: 'Vacation', paid: true });
  const punched = await addPunch(server, grace, 'in', '2026-03-02T08:00:00+01:00');

  const page = await browser.page({ server: manager, signedIn: true, timezoneId: 'Europe/Berlin' });
  await page.goto('/inbox');
  await page.getByText('Nothing waits for a decision.').waitFor();
  await page.locator('.live', { hasText: 'Live' }).waitFor();

  // What an employee asks for appears in words, with the time of the site.
  await addPunch(employee, grace, 'out', '2026-03-02T16:30:00+01:00');
  await page.reload();
  const rows = page.locator('[data-entry]');
  const row = rows.filter({ hasText: 'Add out at 16:30 on Mon, Mar 2' });
  await row.getByText('“Forgot to punch”').waitFor();
  await row.getByText(/^Asked by Grace Hopper on [^:]+:\d\d$/u).waitFor();
  // Where the clocks show another time, the zone is named.
  const abroad = await browser.page({ server: manager, signedIn: true, timezoneId: 'America/New_York' });
  await abroad.goto('/inbox');
  const there = abroad.locator('[data-entry]', { hasText: 'Add out at 16:30 on Mon, Mar 2 GMT+1' });
  await there.getByText(/^Asked by Grace Hopper on .*:\d\d GMT\+[12]$/u).waitFor();
  await abroad.close();
  assert.match(await row.getByRole('link', { name: 'Grace Hopper' }).getAttribute('href'), new RegExp(`id=${grace.id}&month=2026-03-02$`, 'u'));
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').filter({ hasText: /^Inbox 1 waiting$/u }).waitFor();

  await row.getByRole('button', { name: 'Approve Grace Hopper: Add out at 16:30 on Mon, Mar 2' }).click();
  await page.getByText('Approved: Grace Hopper, Add out at 16:30 on Mon, Mar 2.').waitFor();
  await page.getByText('Nothing waits for a decision.').waitFor();
  assert.equal((await server.ask('GET', `/api/corrections?employee=${grace.id}&state=approved`)).items.length, 2);

  // A move, a removal and leave; a rejected one has no effect.
  await correct(employee, grace, { action: 'move', punch: punched.punch, at: '2026-03-02T07:45:00+01:00', reason: 'Came earlier' });
  await correct(employee, grace, { action: 'void', punch: punched.punch, reason: 'Was not there' });
  const leave = await employee.ask('POST', '/api/leave', { employee: grace.id, kind: kind.id, from: '2027-01-11', to: '2027-01-15', reason: 'Skiing' });
  // Nobody decides on their own hours and leave, so these do not wait for the manager.
  await addPunch(manager, mona, 'in', '2026-03-02T08:00:00+01:00');
  await manager.ask('POST', '/api/leave', { employee: mona.id, kind: kind.id, from: '2027-01-11' });
  await page.reload();
  await rows.filter({ hasText: 'Move in from 08:00 to 07:45 on Mon, Mar 2' }).waitFor();
  await assertAccessible(page);
  await picture(page, 'inbox');
  assert.equal(await rows.count(), 3);
  await page.getByRole('button', { name: 'Reject Grace Hopper: Remove in at 08:00 on Mon, Mar 2' }).click();
  await page.getByText('Rejected: Grace Hopper, Remove in at 08:00 on Mon, Mar 2.').waitFor();
  await page.getByRole('button', { name: /1\s+Leave/u }).click();
  await page.getByText('Vacation, Mon, Jan 11 – Fri, Jan 15').waitFor();
  assert.equal(await rows.count(), 1);
  await page.getByRole('button', { name: /^Approve Grace Hopper: Vacation/u }).click();
  await page.getByText(/^Approved: Grace Hopper, Vacation/u).waitFor();
  const [decided] = (await server.ask('GET', '/api/leave?state=approved')).items;
  assert.equal(decided.id, leave.id);
  assertClean(page);
});

test('several are approved at once, and those that are refused say why', async () => {
  const alan = await server.addEmployee('Alan Turing', 'P02');
  const employee = await server.addAccount({ ...GRACE, name: 'Alan Turing', email: 'alan@example.org', code: 'P02' });
  await addPunch(server, alan, 'in', '2026-04-01T08:00:00+02:00');
  const out = await addPunch(server, alan, 'out', '2026-04-01T16:00:00+02:00');
  await correct(employee, alan, { action: 'move', punch: out.punch, at: '2026-04-01T15:00:00+02:00', reason: 'Left earlier' });
  const sheet = `${alan.id}:2026-04-01`;
  const { digest } = await server.ask('GET', `/api/timesheets/${sheet}`);
  await server.ask('POST', `/api/timesheets/${sheet}/approve`, { digest });
  await server.ask('POST', `/api/timesheets/${sheet}/lock`);
  await addPunch(employee, alan, 'in', '2026-05-04T08:00:00+02:00');
  await addPunch(employee, alan, 'out', '2026-05-04T16:00:00+02:00');

  const page = await browser.page({ server: manager, signedIn: true, timezoneId: 'Europe/Berlin' });
  await page.goto('/inbox?kind=corrections');
  await page.getByLabel('Select all 4', { exact: true }).check();
  await page.getByLabel(/^Select Grace Hopper: Move/u).uncheck();
  await page.getByRole('button', { name: 'Approve the selected (3)' }).click();
  await page.getByText(/^2 approved\. One was refused:/u).waitFor();
  const locked = page.locator('[data-entry]', { hasText: 'Move out from 16:00 to 15:00 on Wed, Apr 1' });
  await locked.getByRole('alert').waitFor();
  await picture(page, 'inbox-refused');
  await assertAccessible(page);

  // A locked period asks whether it may become an adjustment.
  await locked.getByRole('button', { name: /^Approve/u }).click();
  const question = page.getByRole('dialog', { name: 'Make it an adjustment?' });
  await question.getByRole('button', { name: 'Cancel' }).click();
  const ofAlan = async () => (await waiting()).filter(({ employee: id }) => id === alan.id);
  assert.equal((await ofAlan()).length, 1);
  await locked.getByRole('button', { name: /^Approve/u }).click();
  await question.getByRole('button', { name: 'Approve as an adjustment' }).click();
  await page.getByText('It is an adjustment.').waitFor();
  assert.equal((await ofAlan()).length, 0);
  const { figures } = await server.ask('GET', `/api/timesheets/${sheet}`);
  assert.equal(figures.adjustments[0].worked, -3600);

  // Of a long list only a part is drawn, and the choice of all says that it is of all.
  await page.route('**/api/corrections?*', async (route) => {
    const answer = await route.fetch();
    const { items } = await answer.json();
    await route.fulfill({ response: answer, json: { items: Array.from({ length: 150 }, (_, number) => ({ ...items[0], id: `${number}` })), next: null } });
  });
  await page.reload();
  await page.getByLabel('Select all 150, shown or not', { exact: true }).check();
  await page.getByRole('button', { name: 'Approve the selected (150)' }).waitFor();
  await page.getByRole('button', { name: 'Show 50 more of 50' }).click();
  assertClean(page);
});

test('a timesheet is approved with the figures that were shown', async () => {
  const employee = await server.clientOf(GRACE);
  const [grace] = (await employee.ask('GET', '/api/employees')).items;
  const now = new Date();
  // The inbox has submitted timesheets of all periods.
  const from = new Date(Date.UTC(now.getFullYear(), now.getMonth() - 7, 1)).toISOString().slice(0, 10);
  const day = `${from.slice(0, 8)}05`;
  const sheet = `${grace.id}:${from}`;
  await addPunch(server, grace, 'in', `${day}T08:00:00Z`);
  await employee.ask('POST', `/api/timesheets/${sheet}/submit`);

  const page = await browser.page({ server: manager, signedIn: true });
  await page.goto('/inbox?kind=timesheets');
  await page.getByRole('button', { name: /^Review Grace Hopper/u }).click();
  const review = page.getByRole('dialog', { name: 'Approve the hours of Grace Hopper' });
  // A day without an out must be settled first.
  await review.getByText('(No out)').waitFor();
  assert.match(await review.getByRole('link', { name: /5/u }).getAttribute('href'), new RegExp(`month=${day}$`, 'u'));
  assert.equal(await review.getByRole('button', { name: 'Approve these figures' }).count(), 0);
  await assertAccessible(page);
  await picture(page, 'inbox-blocked');
  await review.getByRole('button', { name: 'Cancel' }).click();
  await addPunch(server, grace, 'out', `${day}T16:30:00Z`);

  await page.getByRole('button', { name: /^Review Grace Hopper/u }).click();
  await review.locator('dd', { hasText: '8:30' }).first().waitFor();
  // The figures change while the manager looks at them: those are approved that were seen, or none.
  await addPunch(server, grace, 'in', `${day}T18:00:00Z`);
  await addPunch(server, grace, 'out', `${day}T19:00:00Z`);
  await review.getByRole('button', { name: 'Approve these figures' }).click();
  await review.getByText('The figures have changed meanwhile').waitFor();
  assert.equal(await stateOf(sheet), 'submitted');
  await review.locator('dd', { hasText: '9:30' }).first().waitFor();
  await review.getByRole('button', { name: 'Approve these figures' }).click();
  await review.getByText('1 timesheet approved.').waitFor();
  await picture(page, 'inbox-approved');
  assert.equal(await stateOf(sheet), 'approved');
  await review.getByRole('button', { name: 'Close' }).last().click();
  assertClean(page);
});

test('a timesheet waits until its last day is over', async () => {
  const dateOf = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const site = await server.addSite('Harbor', 'UTC');
  const tomorrow = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][new Date(dateOf(1)).getUTCDay()];
  const [{ rules }] = (await server.ask('GET', '/api/rule-presets')).items;
  await server.setRules(site.id, dateOf(-14), { period: 'week', rules: { ...rules, week_starts: tomorrow } });
  const lise = await server.addEmployee('Lise Meitner', 'P05', site.id);
  await server.ask('POST', `/api/timesheets/${lise.id}:${dateOf(-6)}/submit`);

  const page = await browser.page({ server: manager, signedIn: true, timezoneId: 'UTC' });
  await page.goto('/inbox?kind=timesheets');
  const entry = page.locator('[data-entry]', { hasText: 'Lise Meitner' });
  await entry.getByText(/^Lasts until/u).waitFor();
  assert.equal(await entry.getByRole('button').count(), 0);
  assertClean(page);
});

test('the inbox works on a phone, in the dark, and shows a viewer no buttons', async () => {
  const viewer = await server.addAccount({ name: 'Vera', email: 'vera@example.org', password: PASSWORD, role: 'viewer' });
  const page = await browser.page({ server: viewer, signedIn: true });
  await page.goto('/inbox');
  await page.locator('[data-entry]').first().waitFor();
  assert.equal(await page.getByRole('button', { name: /^Approve/u }).count(), 0);
  assert.equal(await page.getByRole('checkbox').count(), 0);
  assertClean(page);

  const phone = await browser.page({ server: manager, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto('/inbox');
  await phone.locator('[data-entry]').first().waitFor();
  await assertAccessible(phone);
  await picture(phone, 'inbox-phone-dark');
  assertClean(phone);
});

test('notices lead to what ends them, and a PIN is unlocked in place', async () => {
  const own = await Server.startWithAdmin({ DEVICE_TOKEN_AGE: '20d', WEBHOOK_ALLOW: '127.0.0.1' });
  const gone = createServer((request, response) => request.resume() && response.writeHead(410).end()).listen(0, '127.0.0.1');
  await once(gone, 'listening');
  try {
    // A PIN that is locked, a token that ends, a request to be erased, a webhook that is disabled.
    const grace = await own.addEmployee('Grace Hopper', 'P01');
    const device = await own.addDevice('Front door');
    await own.ask('PUT', `/api/employees/${grace.id}/pin`, { pin: '402817' });
    for (let tries = 0; tries < 5; tries++) {
      await fetch(`${own.origin}/api/punches/pin`, {
        method: 'POST',
        headers: { authorization: `Bearer ${device.token}`, 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
        body: JSON.stringify({ code: 'P01', pin: '999111' }),
      });
    }
    const employee = await own.addAccount(GRACE);
    await employee.ask('POST', '/api/me/erasure-request');
    const webhook = await own.ask('POST', '/api/webhooks', { name: 'Payroll', url: `http://127.0.0.1:${gone.address().port}/`, topics: ['punch.created'] });
    await own.punchByHand(grace, 'in', 'Forgot to punch');
    const kinds = async () => (await own.ask('GET', '/api/notices')).items.map(({ kind }) => kind).sort();
    await until('there are four notices', async () => (await kinds()).join() === 'device_token_ends,erasure_request,pin_locked,webhook_disabled');

    const page = await browser.page({ server: own, signedIn: true });
    // A kiosk is silent after 15 minutes only, so this notice comes from the test.
    const silent = { kind: 'device_silent', employee: null, name: 'Back door', since: '2026-11-29T08:00:00Z', id: device.id };
    await page.route('**/api/notices', async (route) => {
      const answer = await route.fetch();
      const { items } = await answer.json();
      await route.fulfill({ response: answer, json: { items: [silent, ...items], next: null } });
    });
    await page.goto('/inbox');
    const notice = (kind) => page.locator(`[data-notice="${kind}"]`);
    await notice('device_silent').getByText('This kiosk sends nothing: check its power and network').waitFor();
    await notice('device_token_ends').getByText(/^Its token ends on /u).waitFor();
    assert.equal(await notice('device_token_ends').getByRole('link', { name: 'Show the device: Front door' }).getAttribute('href'), `/devices?device=${device.id}`);
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').filter({ hasText: /^Inbox 5 waiting$/u }).waitFor();
    await notice('erasure_request').getByText(/^Asks to be erased\./u).waitFor();
    assert.equal(await notice('erasure_request').getByRole('link', { name: 'Show the person: Grace Hopper' }).getAttribute('href'), `/people#${grace.id}`);
    await assertAccessible(page);
    await picture(page, 'inbox-notices');
    await notice('pin_locked').getByRole('button', { name: 'Unlock the PIN of Grace Hopper' }).click();
    await page.getByText('The PIN of Grace Hopper is unlocked').waitFor();
    await notice('pin_locked').waitFor({ state: 'detached' });
    assert.deepEqual(await kinds(), ['device_token_ends', 'erasure_request', 'webhook_disabled']);

    // Only notices, on a phone; the webhook is one step away.
    await page.getByRole('button', { name: /4\s+Notices/u }).click();
    await page.waitForURL(/kind=notices/u);
    await page.setViewportSize(PHONE.viewport);
    await picture(page, 'inbox-notices-phone');
    await notice('webhook_disabled').getByRole('link', { name: 'Open the webhook: Payroll' }).click();
    await page.getByText(/^Rollcall disabled it on/u).waitFor();
    await page.waitForURL(`**/messages?webhook=${webhook.id}`);
    assertClean(page);
  } finally {
    gone.closeAllConnections();
    gone.close();
    await own.end();
  }
});

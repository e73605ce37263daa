// What pages show while the service or one of its dependencies is unavailable.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';

let server;
let browser;
before(async () => {
  // Nothing listens on this port.
  server = await Server.startWithAdmin({ REDIS_URL: 'redis://127.0.0.1:1' });
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

test('the page of punches shows a lost connection at once, and reconnects automatically', async () => {
  const page = await browser.page({ server, signedIn: true });
  const opened = page.waitForResponse('**/api/events');
  await page.goto('/punches');
  const live = page.locator('#live');
  await live.filter({ hasText: /^Live$/u }).waitFor();
  // While the stream is open, the page polls only every half minute.
  await opened;
  await server.stop();
  await live.filter({ hasText: 'Reconnecting…' }).waitFor({ timeout: 25_000 });
  await server.resume();
  await live.filter({ hasText: /^Live$/u }).waitFor();
  await page.getByText('The server cannot be reached').waitFor({ state: 'hidden' });
  assertClean(page);
});

test('an admin sees that the service runs without Redis, and nothing fails', async () => {
  const page = await browser.page({ server });
  await page.goto('/sign-in');
  await page.getByLabel('Email').fill(ADMIN.email);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByText(/Redis: running without Redis caching/u).waitFor();
  await page.getByText('Three steps to the first punch').waitFor();
  await picture(page, 'troubles');
  assertClean(page);
});

/** Answers requests as while the store is gone, until the returned function is called. */
async function withoutStore(page, address, method = 'GET') {
  const body = { type: 'about:blank', title: 'The store does not answer', status: 503, code: 'store_unavailable', detail: 'the store does not respond: try again in a moment' };
  await page.route(address, (route) => (route.request().method() === method ? route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(body) }) : route.fallback()));
  return () => page.unroute(address);
}

test('pages say that the store is gone, show no empty list, and go on when it is back', async () => {
  const page = await browser.page({ server, signedIn: true });
  const words = page.getByRole('main').getByText('The store does not respond: try again in a moment');
  const again = page.getByRole('button', { name: 'Try again' });
  await server.addEmployee('Grace Hopper', 'P01');
  for (const [path, address, shown] of [
    ['/accounts', '**/api/accounts*', 'ada@example.org'],
    ['/people', '**/api/employees*', 'Grace Hopper'],
    ['/devices', '**/api/devices*', 'No devices yet'],
  ]) {
    const back = await withoutStore(page, address);
    await page.goto(path);
    await words.waitFor();
    assert.equal(await page.locator('.skeleton:visible, .empty:visible').count(), 0);
    await assertAccessible(page);
    await picture(page, `troubles-store-${path.slice(1)}`);
    await back();
    await again.click();
    await page.getByRole('main').getByText(shown).first().waitFor();
    await words.waitFor({ state: 'detached' });
  }

  // A search begins the page that could not begin, with what the account can do.
  const sites = await withoutStore(page, '**/api/sites*');
  await page.goto('/people');
  await words.waitFor();
  await sites();
  await page.getByLabel('Search people').fill('Grace');
  await page.getByRole('button', { name: 'Add a person' }).waitFor();
  const found = page.locator('#found', { hasText: '1 person found' });
  await found.waitFor({ state: 'attached' });
  // What was found before is not what the failed search finds.
  const people = await withoutStore(page, '**/api/employees*');
  await page.getByLabel('Search people').fill('Grace H');
  await words.waitFor();
  await found.waitFor({ state: 'detached' });
  await people();
  await again.click();
  await page.getByRole('main').getByText('Grace Hopper').waitFor();

  // Without a press on the button, too.
  await page.clock.install();
  const back = await withoutStore(page, '**/api/tokens*');
  await page.goto('/account?part=tokens');
  await words.waitFor();
  await back();
  await page.clock.runFor(10_000);
  await page.getByText('You have no token').waitFor();

  // A feed that the service refused is followed again: the browser does not.
  const feed = await withoutStore(page, '**/api/events');
  await page.goto('/inbox');
  await page.getByText('Reconnecting…').waitFor();
  await feed();
  await page.clock.runFor(5_000);
  await page.getByText('Live', { exact: true }).waitFor();
  assertClean(page);
});

test('what failed is said where it was tried', async () => {
  const page = await browser.page({ server, signedIn: true });
  const words = page.getByText(/the store does not respond: try again in a moment/iu);
  // A webhook that was not removed is still shown.
  const webhook = await server.ask('POST', '/api/webhooks', { name: 'W'.repeat(120), url: 'https://example.org/hook', topics: ['punch.created'] });
  const back = await withoutStore(page, '**/api/webhooks/*', 'DELETE');
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(`/messages?webhook=${webhook.id}`);
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await words.waitFor();
  await page.getByRole('heading', { name: webhook.name }).waitFor();
  await picture(page, 'troubles-webhook');
  await back();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText('There is no webhook yet.').waitFor();

  // The words are in view, although the button is a screen below them, and what was typed is kept.
  const making = await withoutStore(page, '**/api/tokens', 'POST');
  const sites = await withoutStore(page, '**/api/sites*');
  await page.goto('/account?part=tokens');
  await page.getByRole('button', { name: 'Make a token' }).click();
  // Without the sites, nobody makes a token for all of them.
  await until('the name has the focus', () => page.getByRole('textbox', { name: 'Name' }).evaluate((node) => node === document.activeElement));
  await page.getByRole('textbox', { name: 'Name' }).fill('Payroll');
  await page.getByRole('button', { name: 'Make the token' }).click();
  await page.getByText('The sites are not loaded yet: try again in a moment').waitFor();
  await sites();
  await page.getByRole('dialog').getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Try again' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Make the token' }).click();
  await words.waitFor();
  const seen = (node) => {
    const { left, top } = node.getBoundingClientRect();
    return node.contains(document.elementFromPoint(left + 2, top + 2));
  };
  await until('the words are in view', () => words.evaluate(seen));
  assert.equal(await page.getByRole('textbox', { name: 'Name' }).inputValue(), 'Payroll');
  await picture(page, 'troubles-token');
  await making();
  await page.route('**/api/tokens', (route) => route.abort());
  await page.getByRole('button', { name: 'Make the token' }).click();
  await page.getByText('The server cannot be reached. The change may have been made: check before you try again').waitFor();
  await page.unroute('**/api/tokens');

  // Nobody agrees to a text that is not there.
  const consent = await withoutStore(page, '**/api/consent');
  await page.goto('/people');
  await page.getByRole('button', { name: 'Enroll photos' }).click();
  const dialog = page.getByRole('dialog', { name: 'Enroll photos of many people' });
  await dialog.getByText('The consent text could not be loaded').waitFor();
  await consent();
  await dialog.getByLabel('All of them agree').check();
  await dialog.getByRole('button', { name: 'Enroll', exact: true }).click();
  await dialog.getByText('Read the consent text, then choose Enroll again').waitFor();
  await dialog.getByText(/photos of/u).first().waitFor();

  // Another account has decided already.
  const notice = { kind: 'refused_punch', employee: null, name: 'Gate', since: '2026-11-29T08:00:00Z', id: '00000000-0000-7000-8000-0000000000ff' };
  await page.route('**/api/notices', (route) => route.fulfill({ json: { items: Array(150).fill(notice), next: null } }));
  await page.goto('/inbox');
  await page.getByRole('button', { name: /^Decide/u }).first().click();
  await page.getByText('Another account was faster: this is decided.').waitFor();
  await page.keyboard.press('Escape');
  // A long list is drawn in parts.
  assert.equal(await page.locator('[data-notice]').count(), 100);
  await page.getByRole('button', { name: 'Show 50 more of 50' }).click();
  await page.locator('[data-notice]').nth(149).waitFor();

  // The link of an invitation is no longer in the address, so the page itself tries again.
  const { link } = await server.ask('POST', '/api/invitations', { email: 'x@example.org', name: 'Xenia', grants: [{ role: 'viewer' }] });
  const looked = await withoutStore(page, '**/api/invitations/look', 'POST');
  await page.goto(link);
  await words.waitFor();
  await looked();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'Welcome, Xenia' }).waitFor();
  // The answer gets lost after the account was made.
  await page.route('**/api/invitations/accept', async (route) => {
    await route.fetch();
    await route.abort();
  });
  await page.getByLabel('Password').fill('seven green lanterns drift');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByText('The server cannot be reached').waitFor();
  await page.unroute('**/api/invitations/accept');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByRole('heading', { name: 'This link was used' }).waitFor();
  await page.getByText('sign in with your email address and the password that you typed').waitFor();
  await assertAccessible(page);
  await picture(page, 'troubles-join');
  assertClean(page);
});

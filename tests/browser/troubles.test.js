// What pages show while the service or one of its dependencies is unavailable.

import { after, before, test } from 'node:test';

import { Browser, assertClean, picture } from './support/browser.js';
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

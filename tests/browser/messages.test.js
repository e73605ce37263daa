// Messages: a webhook is added, verified, tested, paused, disabled and turned on again.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { Server } from './support/server.js';
import { Browser, assertAccessible, assertClean, picture, until } from './support/browser.js';

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** A receiver of webhooks, which answers with `status` and keeps what it got. */
class Receiver {
  status = 200;
  got = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      receiver.got.push({ headers: request.headers, body });
      response.writeHead(receiver.status).end();
    });
    // Not the address of "localhost", which is not allowed.
    receiver.server.listen(0, '127.0.0.2');
    await once(receiver.server, 'listening');
    receiver.url = `http://127.0.0.2:${receiver.server.address().port}/rollcall`;
    return receiver;
  }

  /** Returns the bodies of the messages of a topic. */
  of = (topic) => this.got.map(({ body }) => JSON.parse(body)).filter(({ type }) => type === topic);

  async end() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** Returns how many signatures of a message are those of a secret. */
function signaturesOf({ headers, body }, secret) {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const expected = `v1,${createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`).digest('base64')}`;
  return headers['webhook-signature'].split(' ').filter((one) => one === expected).length;
}

let server;
let browser;
let receiver;
before(async () => {
  receiver = await Receiver.start();
  server = await Server.startWithAdmin({ WEBHOOK_ALLOW: '127.0.0.2' });
  browser = await Browser.start('hopper');
});
after(async () => {
  await browser?.end();
  await server?.end();
  await receiver?.end();
});

/** Makes a punch by hand, of another person each time: they have a cooldown. */
async function punch(code) {
  await server.punchByHand(await server.addEmployee(`Person ${code}`, code), 'in', 'Forgot to punch');
}
const webhooks = async () => (await server.ask('GET', '/api/webhooks')).items;

test('a webhook is added, its secret verifies messages, and it is paused, disabled and removed', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/');
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Messages' }).click();
  await page.getByText('There is no webhook yet.').waitFor();
  await page.getByRole('button', { name: 'Add a webhook' }).click();
  const form = page.getByRole('dialog', { name: 'Add a webhook' });
  await form.getByLabel('Name', { exact: true }).fill('Payroll');
  await form.getByLabel('Address').fill('ftp://example.org');
  await form.getByText('Only when a correction is approved').waitFor();
  await form.getByLabel('A punch was recorded').uncheck();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await form.getByText('Choose at least one', { exact: true }).waitFor();
  await assertAccessible(page);
  await picture(page, 'webhook-form');
  await form.getByLabel('A punch was recorded').check();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await form.getByText(/^Must be a URL such as/u).waitFor();
  await form.getByLabel('Address').fill('http://10.1.2.3/hook');
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await form.getByText(/^The address 10\.1\.2\.3 is not on the internet: .* add it to WEBHOOK_ALLOW$/u).waitFor();
  await form.getByLabel('Address').fill(receiver.url);
  await form.getByRole('button', { name: 'Add', exact: true }).click();

  // The secret is shown once.
  const shown = page.getByRole('dialog', { name: 'The secret of Payroll' });
  const secret = await shown.getByLabel('Secret', { exact: true }).inputValue();
  assert.match(secret, /^whsec_/u);
  await shown.getByText('How the receiver verifies a message').click();
  await shown.getByText('def verify').waitFor();
  await assertAccessible(page);
  await picture(page, 'webhook-secret');
  await shown.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('Secret', { exact: true }).waitFor({ state: 'detached' });
  const [webhook] = await webhooks();
  await page.waitForURL(`**/messages?webhook=${webhook.id}`);

  // A punch arrives, signed with it, and the list of deliveries says so by itself.
  await punch('P01');
  const deliveries = page.locator('[data-delivery]');
  await deliveries.filter({ hasText: 'A punch was recorded' }).getByText('Delivered').waitFor();
  const [message] = receiver.got;
  assert.equal(signaturesOf(message, secret), 1);
  assert.equal(JSON.parse(message.body).data.employee.code, 'P01');
  assert.equal(JSON.parse(message.body).data.employee.name, undefined);

  // A test, and what it says when the receiver refuses it.
  await page.getByRole('button', { name: 'Send a test' }).click();
  await page.getByText('The receiver accepted the test: it answered 200.').waitFor();
  receiver.status = 500;
  await page.getByRole('button', { name: 'Send a test' }).click();
  await page.getByText('The test failed. The receiver answered 500.').waitFor();
  await deliveries.filter({ hasText: 'A test' }).filter({ hasText: 'Failed' }).waitFor();

  // What failed waits for its next attempt; another one is sent again by hand.
  await punch('P02');
  const waiting = deliveries.filter({ hasText: 'A punch was recorded' }).filter({ hasText: 'Waiting' });
  await waiting.getByText('The receiver answered 500').waitFor();
  await waiting.getByText(/next attempt/u).waitFor();
  await waiting.getByText('The message', { exact: true }).click();
  await waiting.getByText('"type": "punch.created"').waitFor();
  await assertAccessible(page);
  await picture(page, 'webhook');
  receiver.status = 200;
  const before = receiver.of('punch.created').length;
  await deliveries
    .filter({ hasText: 'A punch was recorded' })
    .getByRole('button', { name: /^Send again/u })
    .last()
    .click();
  await until('the message arrives again', () => receiver.of('punch.created').length > before);
  await page.getByRole('button', { name: 'Failed', exact: true }).click();
  await until('only failed ones are shown', async () => (await deliveries.evaluateAll((all) => all.map((one) => one.dataset.state).join())) === 'failed');
  await page.getByRole('button', { name: 'All', exact: true }).click();

  // A new secret: for a day, both sign.
  await page.getByRole('button', { name: 'New secret' }).click();
  await page.getByRole('dialog', { name: 'A new secret for Payroll?' }).getByRole('button', { name: 'Generate a new secret' }).click();
  const next = await shown.getByLabel('Secret', { exact: true }).inputValue();
  await shown.getByText(/messages are also signed with the previous secret/u).waitFor();
  await shown.getByRole('button', { name: 'Done' }).click();
  assert.notEqual(next, secret);
  await page.getByText('The previous secret is valid until').waitFor();
  await page.getByRole('button', { name: 'Send a test' }).click();
  await page.getByText('The receiver accepted the test: it answered 200.').waitFor();
  const last = receiver.got.at(-1);
  assert.deepEqual([signaturesOf(last, next), signaturesOf(last, secret)], [1, 1]);

  // Paused, changed, and on again.
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('It is paused. What happens now is not sent later.').waitFor();
  assert.equal((await webhooks())[0].state, 'off');
  await page.getByRole('button', { name: 'Change', exact: true }).click();
  const change = page.getByRole('dialog', { name: 'Change Payroll' });
  await change.getByLabel('Leave was requested').check();
  await change.getByLabel('With the names of employees').check();
  await change.getByRole('button', { name: 'Save' }).click();
  await change.waitFor({ state: 'detached' });
  assert.deepEqual((await webhooks())[0].topics, ['punch.created', 'leave.requested']);
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByText('Payroll is on').waitFor();

  // The receiver does not want it any more: Rollcall disables it, and says why.
  receiver.status = 410;
  await punch('P03');
  await page.getByText(/^Rollcall disabled it on/u).waitFor();
  await picture(page, 'webhook-disabled');
  await page.getByRole('link', { name: 'All webhooks' }).click();
  const row = page.locator('[data-webhook]', { hasText: 'Payroll' });
  await row.getByText('Disabled').waitFor();
  await row.getByText(/^Last message of .*: failed/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'webhooks');

  const phone = await browser.page({ server, signedIn: true, colorScheme: 'dark', ...PHONE });
  await phone.goto(`/messages?webhook=${webhook.id}`);
  await phone.getByText(/^Rollcall disabled it on/u).waitFor();
  await phone.locator('[data-delivery]').first().waitFor();
  await assertAccessible(phone);
  await picture(phone, 'webhook-phone-dark');
  receiver.status = 200;
  await phone.getByRole('button', { name: 'Turn on' }).click();
  await phone.getByText('Payroll is on').waitFor();
  assert.equal((await webhooks())[0].state, 'on');
  await phone.getByRole('button', { name: 'Remove' }).click();
  await phone.getByRole('dialog', { name: 'Remove Payroll?' }).getByRole('button', { name: 'Remove' }).click();
  await phone.getByText('There is no webhook yet.').waitFor();
  assertClean(page, phone);
});

test('a name that leads to an address to which Rollcall does not connect is explained', async () => {
  const webhook = await server.ask('POST', '/api/webhooks', { name: 'Inside', url: 'http://localhost/hook', topics: ['punch.created'] });
  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/messages?webhook=${webhook.id}`);
  await page.getByRole('button', { name: 'Send a test' }).click();
  await page.getByText(/^The test failed\. The address \S+ is not on the internet/u).waitFor();
  await page.getByText('The receiver is not on the internet.').waitFor();
  await page.getByText('WEBHOOK_ALLOW=localhost').waitFor();
  await assertAccessible(page);
  await picture(page, 'webhook-private');
  await server.ask('DELETE', `/api/webhooks/${webhook.id}`);
  assertClean(page);
});

test('a webhook can be about some sites only', async () => {
  const harbor = await server.addSite('Harbor', 'Europe/Berlin');
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/messages');
  await page.getByRole('button', { name: 'Add a webhook' }).click();
  const form = page.getByRole('dialog', { name: 'Add a webhook' });
  await form.getByLabel('Name', { exact: true }).fill('Harbor only');
  await form.getByLabel('Address').fill(receiver.url);
  await form.getByRole('radio', { name: 'Only some sites' }).check();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await form.getByText('Choose at least one, or all sites').waitFor();
  await form.getByLabel('Harbor').check();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('dialog', { name: 'The secret of Harbor only' }).getByRole('button', { name: 'Done' }).click();
  const [webhook] = await webhooks();
  assert.deepEqual(webhook.sites, [harbor.id]);
  await page.locator('.facts').getByText('Harbor', { exact: true }).waitFor();
  await server.ask('DELETE', `/api/webhooks/${webhook.id}`);
  assertClean(page);
});

test('managers are not offered the page, and it says why', async () => {
  const mona = await server.addAccount({ email: 'mona@example.org', role: 'manager' });
  const office = await browser.page({ server: mona, signedIn: true });
  await office.goto('/messages');
  await office.getByText('Only admins decide what other systems learn.').waitFor();
  assert.equal(await office.getByRole('link', { name: 'Messages' }).count(), 0);
  assertClean(office);
});

test('the page says whether emails are sent', async () => {
  const page = await browser.page({ server, signedIn: true, ...PHONE });
  await page.goto('/messages?part=letters');
  await page.getByText(/^No emails are sent, because no mail server is set up/u).waitFor();
  await assertAccessible(page);
  await picture(page, 'letters-phone');
  assertClean(page);
});

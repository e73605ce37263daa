// Cameras: adding with a first picture, the live picture with names, changing, pausing and removing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertClean, changed, picture } from './support/browser.js';
import { Go2rtc } from './support/go2rtc.js';
import { Server } from './support/server.js';

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true };

let server;
let browser;
let go2rtc;
before(async () => {
  go2rtc = await Go2rtc.start();
  server = await Server.startWithAdmin({ GO2RTC_URL: go2rtc.origin });
  browser = await Browser.start('biden');
});
after(async () => {
  await browser?.end();
  await server?.end();
  await go2rtc?.end();
});

/** A film of a person who moves a little. */
function film(name) {
  const fit = 'scale=-2:400';
  return Promise.all([0, 6, 12, 6].map((x) => changed(name, `${fit},pad=640:480:${120 + x}:40`)));
}

const row = (page, name) => page.locator('details.camera', { has: page.getByText(name, { exact: true }) });

async function add(page, name, stream) {
  await page.getByRole('button', { name: 'Add a camera' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a camera' });
  await adding.getByLabel('Name').fill(name);
  await adding.getByLabel('Stream in go2rtc').fill(stream);
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
}

test('a new camera shows and punches the person in view, and recovers after an outage', async () => {
  const walk = await film('obama3');
  go2rtc.films.set('yard', walk);
  await server.addFace('Barack Obama', 'P44', 'obama', 'obama2');
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/cameras');
  await page.getByText('No cameras yet').waitFor();
  await add(page, 'Yard gate', 'yard');
  const trial = page.getByRole('dialog', { name: 'Yard gate' });
  await trial.getByAltText('What Yard gate sees').waitFor();
  await picture(page, 'camera-added');
  await trial.getByRole('button', { name: 'Done' }).click();

  const camera = row(page, 'Yard gate');
  await camera.getByText('Live', { exact: true }).waitFor();
  await camera.locator('summary').click();
  await camera.getByAltText('Live picture of Yard gate').waitFor();
  await camera.locator('.seen.known', { hasText: 'Barack Obama' }).waitFor();
  await camera.getByRole('listitem').filter({ hasText: 'Barack Obama' }).waitFor();
  await picture(page, 'camera-live');
  const punches = await server.punches();
  assert.deepEqual(
    punches.map(({ origin, name }) => ({ kind: origin.kind, where: origin.name, name })),
    [{ kind: 'camera', where: 'Yard gate', name: 'Barack Obama' }],
  );

  go2rtc.films.set('yard', []);
  await camera.getByText('Unreachable', { exact: true }).waitFor();
  await camera.getByRole('alert').waitFor();
  await picture(page, 'camera-away');
  go2rtc.films.set('yard', walk);
  await camera.getByText('Live', { exact: true }).waitFor();
  await camera.getByRole('alert').waitFor({ state: 'detached' });
  assertClean(page);
  await browser.closePages();
});

test('a camera can be changed, paused and removed; a missing picture has its reason', async () => {
  go2rtc.films.set('dead', []);
  const page = await browser.page({ server, signedIn: true, ...PHONE });
  await page.goto('/cameras');
  await page.getByRole('button', { name: 'Add a camera' }).waitFor();
  await add(page, 'Back door', 'cellar');
  const adding = page.getByRole('dialog', { name: 'Add a camera' });
  await adding.getByText('Go2rtc has no stream of this name: add it to its configuration first').waitFor();
  await adding.getByText(/^Free: .*dead/u).waitFor();
  await adding.getByLabel('Stream in go2rtc').fill('rtsp://10.0.0.1');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await adding.getByText('Choose or type a stream: letters, digits, - and _').waitFor();
  await adding.getByLabel('Stream in go2rtc').fill('dead');
  await adding.getByText('Only at certain hours').click();
  await adding.getByText('No day ticked means every day.').waitFor();
  await adding.getByLabel('From').fill('07:15');
  await adding.getByText('Mon', { exact: true }).click();
  await picture(page, 'camera-form');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  const trial = page.getByRole('dialog', { name: 'Back door' });
  await trial.getByText(/^No picture from Back door yet: go2rtc has no picture of the camera/u).waitFor();
  await picture(page, 'camera-dead');
  await trial.getByRole('button', { name: 'Done' }).click();

  let camera = row(page, 'Back door');
  await camera.getByText('both ways · 07:15–20:00 Mon').waitFor();
  await camera.locator('summary').click();
  await camera.getByRole('alert').waitFor();
  await camera.getByRole('button', { name: 'Pause Back door' }).click();
  await camera.getByText('Paused', { exact: true }).waitFor();
  await camera.getByRole('button', { name: 'Change Back door' }).click();
  const changing = page.getByRole('dialog', { name: 'Change the camera' });
  assert.equal(await changing.getByLabel('Stream in go2rtc').inputValue(), 'dead');
  // The camera's own stream is offered, but not named as free.
  await changing.getByText(/^(Free: |Every go2rtc stream)/u).waitFor();
  assert.doesNotMatch(await changing.locator('#camera-stream-hint').textContent(), /dead/u);
  assert.equal(await changing.locator('#streams option[value="dead"]').count(), 1);
  await changing.getByLabel('Name').fill('Cellar');
  await changing.getByText('Only at certain hours').click();
  await changing.getByLabel('Direction').selectOption('out');
  const who = changing.getByLabel('Who can view it');
  assert.equal(await who.inputValue(), 'nobody');
  await who.selectOption('Admins and these accounts');
  const viewers = changing.getByLabel('Their email addresses');
  const font = (field) => field.evaluate((node) => getComputedStyle(node).fontFamily);
  assert.equal(await font(viewers), await font(changing.getByLabel('Name')));
  await viewers.fill('nobody@example.com');
  await changing.getByRole('button', { name: 'Save' }).click();
  await changing.getByText('No account has the address nobody@example.com: create it first').waitFor();
  await who.selectOption('Everyone who signs in');
  await changing.getByRole('button', { name: 'Save' }).click();
  camera = row(page, 'Cellar');
  await camera.getByText('way out', { exact: true }).waitFor();
  await camera.getByRole('button', { name: 'Change Cellar' }).click();
  assert.equal(await who.inputValue(), 'everybody');
  await changing.getByRole('button', { name: 'Cancel' }).click();
  await picture(page, 'camera-changed');
  await camera.getByRole('button', { name: 'Resume Cellar' }).click();
  await camera.getByText('Paused', { exact: true }).waitFor({ state: 'detached' });
  await camera.getByRole('button', { name: 'Remove Cellar' }).click();
  await page.getByRole('dialog', { name: 'Remove Cellar?' }).getByRole('button', { name: 'Remove', exact: true }).click();
  await camera.waitFor({ state: 'detached' });
  assertClean(page);
  await browser.closePages();
});

// People and photos: each refusal has its reason beside it, and no page is wider than a phone.

import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, changed, picture } from './support/browser.js';
import { Server, portrait } from './support/server.js';

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true };

let server;
let browser;
before(async () => {
  server = await Server.startWithAdmin();
  browser = await Browser.start('biden');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

test('each refused photo shows its reason beside it', async () => {
  const person = await server.addEmployee('Barack Obama', 'P44');
  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/people#${person.id}`);
  const sheet = page.getByRole('dialog', { name: 'Barack Obama' });
  const files = sheet.locator('input[type="file"]');
  const file = (name, buffer) => ({ name, mimeType: 'image/jpeg', buffer });
  const two = file('two.jpg', await changed('obama', 'split[a][b];[a][b]hstack'));
  const tiny = file('tiny.jpg', await changed('obama2', 'scale=150:-2'));
  const good = file('obama.jpg', await readFile(portrait('obama')));
  const text = file('notes.jpg', Buffer.from('no picture at all'));

  // No usable photo: the reasons are shown, and the photos stay for another try.
  await files.setInputFiles([two]);
  await sheet.getByText('I agree that photos of my face').waitFor();
  await sheet.getByText('Three to five different photos work best').waitFor();
  await sheet.getByLabel('Barack Obama agrees').check();
  await sheet.getByRole('button', { name: 'Enroll with 1 photo' }).click();
  await sheet.locator('.shot.bad', { hasText: 'Two faces: only one person may be in the picture' }).waitFor();
  await sheet.getByRole('alert').waitFor();
  assert.ok(await sheet.getByRole('button', { name: 'Enroll', exact: true }).isDisabled(), 'refused photos are not sent again');
  await picture(page, 'photos-unusable');

  // One usable photo among others.
  await files.setInputFiles([tiny, text, good]);
  await sheet.getByRole('button', { name: 'Enroll with 3 photos' }).click();
  await sheet.getByText('Barack Obama is enrolled').waitFor();
  await sheet.locator('.shot.bad', { hasText: /Too small: \d+ px, needs 80/u }).waitFor();
  await sheet.locator('.shot.bad', { hasText: 'notes.jpg' }).locator('.shot-unreadable').waitFor();
  await sheet.locator('.shot.good', { hasText: 'obama.jpg' }).waitFor();
  await picture(page, 'photos-judged');

  // The list shows who has no face yet.
  await server.addEmployee('Katherine Johnson', 'P45');
  await page.keyboard.press('Escape');
  const list = page.locator('#people');
  const filter = page.getByLabel('Filter by face');
  await filter.selectOption('Without face');
  await list.getByText('Katherine Johnson').waitFor();
  await list.getByText('Barack Obama').waitFor({ state: 'detached' });
  await assertAccessible(page);
  await picture(page, 'people-without-face');
  await filter.selectOption('With face');
  await list.getByText('Barack Obama').waitFor();
  await list.getByText('Katherine Johnson').waitFor({ state: 'detached' });
  assertClean(page);
});

test('a person can be added, found, changed, and deleted after a confirmation', async () => {
  const page = await browser.page({ server, signedIn: true });
  await server.addEmployee('Grace Hopper', 'P01');
  await page.goto('/people#new');
  const adding = page.getByRole('dialog', { name: 'Add a person' });
  await adding.getByRole('button', { name: 'Add, then enroll' }).click();
  await adding.getByText('Type a name').waitFor();
  await adding.getByLabel('Name').fill('Eileen Collins');
  await adding.getByLabel('Staff number').fill('p01');
  await adding.getByRole('button', { name: 'Add, then enroll' }).click();
  await adding.locator('.field-error, .form-error').first().waitFor();
  await adding.getByLabel('Staff number').fill('P02');
  await adding.getByRole('button', { name: 'Add, then enroll' }).click();

  const sheet = page.getByRole('dialog', { name: 'Eileen Collins' });
  assert.ok(await sheet.getByLabel('Site', { exact: true }).isHidden(), 'with one site there is none to choose');
  await sheet.getByLabel('Staff number').fill('P03');
  await sheet.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#people').getByText('P03', { exact: true }).waitFor();

  await page.getByLabel('Search people').fill('grace');
  const listed = (name) => page.locator('#people').getByText(name);
  await listed('Eileen Collins').waitFor({ state: 'detached' });
  await listed('Grace Hopper').waitFor();
  await page.getByLabel('Search people').fill('nobody of this name');
  await page.getByText('Nobody found').waitFor();
  await page.getByLabel('Search people').fill('');

  await page.getByRole('link', { name: /Eileen Collins/u }).click();
  await sheet.getByRole('button', { name: 'Delete this person' }).click();
  const question = page.getByRole('dialog', { name: 'Delete Eileen Collins?' });
  await picture(page, 'person-delete');
  await question.getByRole('button', { name: 'Cancel' }).click();
  await sheet.getByRole('button', { name: 'Delete this person' }).click();
  await question.getByRole('button', { name: 'Delete this person' }).click();
  await page.getByText('Eileen Collins was deleted').waitFor();
  assert.equal(await page.getByRole('link', { name: /Eileen Collins/u }).count(), 0);
  assertClean(page);
});

test('people can be imported from a list, and refused rows have reasons', async () => {
  const page = await browser.page({ server, signedIn: true });
  await server.addEmployee('Ida Rhodes', 'L01');
  await page.goto('/people');
  await page.getByRole('button', { name: 'Import people' }).click();
  const dialog = page.getByRole('dialog', { name: 'Import people' });
  const file = dialog.getByLabel('List of people');
  const send = dialog.getByRole('button', { name: 'Import' });
  const list = (text) => ({ name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });

  await send.click();
  await dialog.getByText('Choose a CSV file').waitFor();
  await dialog.getByText(/^It only adds people/u).waitFor();
  await file.setInputFiles(list('name;code;phone\nJean Bartik;L02;1\n'));
  await send.click();
  await dialog.getByText(/Line 1 has the unknown column "phone": the first row must be name,code and optionally site,/u).waitFor();

  await file.setInputFiles(list('name;code\n"Bob;L05\nEve;L06\n'));
  await send.click();
  await dialog.getByText(/line 2 does not end there/u).waitFor();

  await file.setInputFiles(list('name;code;site\r\nIda Rhodes;l01;\r\n"Bartik, Jean";L02;main site\r\n<b>Eve</b>;L01;\r\n;L03;\r\nKay McNulty;L04;Hall\r\n;;\r\n'));
  await send.click();
  await dialog.getByText('1 added, 1 already exist, 3 refused').waitFor();
  const refused = dialog.getByRole('list', { name: 'Refused rows' });
  await refused.getByText('Line 4: code L01 belongs to Ida Rhodes').waitFor();
  await refused.getByText('Line 5: name must not be empty').waitFor();
  await refused.getByText('Line 6: there is no site Hall: add it on the page Sites first, or correct the name').waitFor();
  await picture(page, 'import-refused');
  await dialog.getByRole('button', { name: 'Close' }).first().click();
  await page.locator('#people').getByText('Bartik, Jean').waitFor();

  // After a reload the dialog still shows the result.
  await page.reload();
  await page.getByRole('button', { name: 'Import people' }).click();
  await dialog.getByText('1 added, 1 already exist, 3 refused').waitFor();
  assertClean(page);
});

test('markup in a name stays text', async () => {
  const name = '<img src=x onerror=alert(1)> & Söhne';
  const { id } = await server.addEmployee(name, 'P66');
  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/people#${id}`);
  await page.getByRole('dialog', { name }).waitFor();
  assert.equal(await page.locator('img[src="x"]').count(), 0);
  assertClean(page);
});

test('no page is wider than a phone, in light or dark mode', async () => {
  const { id } = await server.addEmployee('Maximilian von und zu Hohenstein-Langenburg-Schwarzenfels', 'P99');
  const kiosk = await server.addDevice('Side entrance of the very long building');
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.page({ server, signedIn: true, colorScheme, ...PHONE });
    for (const [name, address, ready] of [
      ['today', '/', '[data-row]'],
      ['roll-call', '/roll-call', '[data-state="live"]'],
      ['punches', '/punches', '[data-state="live"]'],
      ['people', '/people', '#people li[data-person]'],
      ['person', `/people#${id}`, 'dialog[open] .source'],
      ['devices', '/devices', '#devices .row'],
      ['sites', '/sites', '#sites .row'],
      ['site', '/site?id=00000000-0000-7000-8000-000000000001', '#now'],
      ['plans', '/plans', '.rota'],
      ['shifts', '/plans?part=shifts', '.part-head'],
      ['welcome', '/welcome', '.preview'],
      ['sign-in', '/sign-in', '#form'],
      ['setup', '/setup', '#done:not([hidden])'],
      ['api', '/api/docs', '.operation'],
      ['kiosk-unpaired', '/kiosk', '#unpaired:not([hidden])'],
      ['kiosk', `/kiosk#${kiosk.token}`, '#now:not([hidden])'],
    ]) {
      // Loads a new document each time, even if only the fragment differs.
      await page.goto('about:blank');
      await page.goto(address);
      await page.locator(ready).first().waitFor();
      await picture(page, `phone-${colorScheme}-${name}`);
    }
    assertClean(page);
    await page.context().close();
  }
});

// Runs last, because it leaves many people behind.
test('an import continues without its page, and can be stopped', async () => {
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/people');
  await page.getByRole('button', { name: 'Import people' }).click();
  const dialog = page.getByRole('dialog', { name: 'Import people' });
  const rows = Array.from({ length: 20_000 }, (_, number) => `Person ${number},M${number}\n`).join('');
  const list = { name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(`name,code\n${rows}`) };
  await dialog.getByLabel('List of people').setInputFiles(list);
  await dialog.getByRole('button', { name: 'Import', exact: true }).click();
  await dialog.getByText(/of 20,?000 rows/u).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Import people' }).click();
  await dialog.getByText(/of 20,?000 rows/u).waitFor();
  await dialog.getByRole('button', { name: 'Stop the import' }).click();
  await dialog.getByText(/The import was stopped: \d+ added/u).waitFor();
  await dialog.getByRole('button', { name: 'Stop the import' }).waitFor({ state: 'hidden' });
  assertClean(page);
});

test('an admin lifts the limit on enrollments where it was reached, and ends that on the page', async () => {
  const own = await Server.startWithAdmin({ ENROLL_LIMIT: '1' });
  try {
    await own.addFace('Joe Biden', 'P46', 'biden');
    const person = await own.addEmployee('Barack Obama', 'P44');
    const page = await browser.page({ server: own, signedIn: true });
    await page.goto(`/people#${person.id}`);
    const sheet = page.getByRole('dialog', { name: 'Barack Obama' });
    await sheet.locator('input[type="file"]').setInputFiles([portrait('obama')]);
    await sheet.getByLabel('Barack Obama agrees').check();
    await sheet.getByRole('button', { name: 'Enroll with 1 photo' }).click();
    await sheet.getByText(/Try again later, or lift it/u).waitFor();
    await picture(page, 'limit-reached');

    // The photo is sent again as soon as the limit is lifted.
    await sheet.getByRole('button', { name: 'Lift the limit for 24 hours' }).click();
    await sheet.getByText('Barack Obama is enrolled').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText(/^The limit of 1 enrollment an hour is lifted until .*, by ada@example\.org\.$/u).waitFor();
    await assertAccessible(page);
    await picture(page, 'limit-lifted');

    await page.getByRole('button', { name: 'End that now' }).click();
    await page.getByText('The limit counts again').waitFor();
    await page.getByText(/an hour is lifted until/u).waitFor({ state: 'detached' });
    assert.equal((await own.ask('GET', '/api/enrollment-limit/lift')).lifted_until, null);
    assertClean(page);
  } finally {
    await own.end();
  }
});

test('photos of many people are enrolled at once, and refused photos have reasons', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-photos-'));
  await Promise.all([server.addEmployee('Eileen Collins', 'Q1'), server.addEmployee('Grace Hopper', 'Q2')]);
  await mkdir(join(folder, 'Q2 Grace Hopper'));
  await copyFile(portrait('collins'), join(folder, 'Q1.jpg'));
  await copyFile(portrait('hopper'), join(folder, 'Q2 Grace Hopper', 'front.jpg'));
  await copyFile(portrait('biden'), join(folder, 'Q3.jpg'));
  await writeFile(join(folder, 'notes.txt'), 'no photo');
  const page = await browser.page({ server, signedIn: true });
  await page.goto('/people');
  await page.getByRole('button', { name: 'Enroll photos' }).click();
  const dialog = page.getByRole('dialog', { name: 'Enroll photos of many people' });
  await dialog.getByText('I agree that photos of my face').waitFor();
  await assertAccessible(page);

  await dialog.getByLabel('Folder').setInputFiles(folder);
  await dialog.getByRole('button', { name: 'Enroll', exact: true }).click();
  await dialog.getByText('Ask the people first').waitFor();
  await dialog.getByLabel('All of them agree').check();
  // What the dialog says meanwhile.
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver(() => window.said.push(document.getElementById('photos-state').textContent)).observe(document.getElementById('photos-state'), { childList: true, characterData: true, subtree: true });
  });
  await dialog.getByRole('button', { name: 'Enroll', exact: true }).click();
  await dialog.getByText('2 people enrolled with 2 photos, 1 photo was refused').waitFor();
  await dialog.getByText(/Q3\.jpg: nobody has this staff number/u).waitFor();
  const [first] = await page.evaluate(() => window.said);
  assert.match(first, /^Preparing 1 of 3 photos\. Closing this dialog does not stop it/u);
  await picture(page, 'many-enrolled');

  // The same folder again changes nothing.
  await dialog.getByLabel('Folder').setInputFiles(folder);
  await dialog.getByLabel('All of them agree').check();
  await dialog.getByRole('button', { name: 'Enroll', exact: true }).click();
  await dialog.getByText('0 people enrolled with 0 photos, 2 people were enrolled already').waitFor();
  await page.setViewportSize(PHONE.viewport);
  await picture(page, 'many-enrolled-phone');

  // Photos at which the service fails each time do not keep the page busy forever.
  let tries = 0;
  await page.route('**/api/enrollments', (route) => {
    tries += 1;
    return route.fulfill({ status: 500, contentType: 'application/problem+json', headers: { 'retry-after': '0.01' }, body: JSON.stringify({ title: 'Internal error', status: 500, code: 'internal', detail: 'the service failed' }) });
  });
  await dialog.getByLabel('Folder').setInputFiles(folder);
  await dialog.getByLabel('All of them agree').check();
  await dialog.getByRole('button', { name: 'Enroll', exact: true }).click();
  await dialog.getByText('3 photos were refused').waitFor();
  await dialog.getByText('Q1.jpg: could not be sent: the service failed').waitFor();
  assert.equal(tries, 5);
  assertClean(page);
  await rm(folder, { recursive: true });
});

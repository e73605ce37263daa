// The first day with Rollcall: from the printed set-up link to a punch on the desk.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertAccessible, assertClean, picture } from './support/browser.js';
import { ADMIN, Server, portrait } from './support/server.js';

const PERSON = 'Barack Obama';

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

test('an enrolled person walks up to the kiosk, and the desk shows the punch', async () => {
  const office = await browser.page({ server });

  // Set-up with the printed link; the page removes its token from the address at once.
  await office.goto(server.setupLink);
  await office.waitForFunction(() => location.hash === '');
  await office.getByLabel('Your name').fill(ADMIN.name);
  await office.getByLabel('Email').fill(ADMIN.email);
  await office.getByLabel('Password').fill('short');
  await office.getByRole('button', { name: 'Create account' }).click();
  await office.getByText('Use at least 12 characters', { exact: true }).waitFor();
  await office.getByLabel('Password').fill(ADMIN.password);
  await office.getByRole('button', { name: 'Show password' }).click();
  assert.equal(await office.getByLabel('Password').getAttribute('type'), 'text');
  await picture(office, 'set-up');
  await office.getByRole('button', { name: 'Hide password' }).click();
  assert.equal(await office.getByLabel('Password').getAttribute('type'), 'password');
  await office.getByRole('button', { name: 'Create account' }).click();

  // Four questions about the workday, with the time zone of the browser. They can be skipped, and answered later.
  await office.getByRole('heading', { name: `Welcome, ${ADMIN.name}` }).waitFor();
  await office.getByRole('button', { name: 'Skip' }).click();
  await office.getByText('Three steps to the first punch').waitFor();
  await office.goto('/welcome');
  await office.getByRole('heading', { name: `Welcome, ${ADMIN.name}` }).waitFor();
  assert.equal(await office.getByLabel('Which time zone').inputValue(), await office.evaluate(() => new Intl.DateTimeFormat().resolvedOptions().timeZone));
  await office.getByLabel('At midnight, as in bakeries').check();
  await office.getByLabel('Germany').check();
  await office.getByLabel('No, deduct a break from long days').check();
  await office.getByText('Breaks: 30 minutes after more than 6:00 h of work, 45 minutes after more than 9:00 h of work. What is missing of that is deducted.').waitFor();
  await assertAccessible(office);
  await picture(office, 'welcome');
  await office.getByLabel('Which time zone').fill('Berlin');
  await office.getByRole('button', { name: 'Save and begin' }).click();
  await office.getByText('Must be an IANA time zone such as Europe/Berlin').waitFor();
  await office.getByLabel('Which time zone').fill('UTC');
  await office.getByRole('button', { name: 'Save and begin' }).click();

  // The desk links to the form for the first person.
  await office.getByText('Three steps to the first punch').waitFor();
  await server.signIn();
  const [site] = await server.sites();
  assert.deepEqual([site.zone, site.workday_starts], ['UTC', '00:00']);
  const [{ from, rules }, ...others] = await server.list(`/api/sites/${site.id}/rules`);
  assert.equal(others.length, 0);
  assert.match(from, /-01$/u);
  assert.deepEqual([rules.cut_off, rules.max_day, rules.breaks.mode], ['00:00', '10h', 'deduct']);
  await picture(office, 'desk-first-day');
  await office.getByRole('link', { name: 'Add a person' }).click();
  const adding = office.getByRole('dialog', { name: 'Add a person' });
  await adding.getByLabel('Name').fill(PERSON);
  await adding.getByLabel('Staff number').fill('P44');
  await adding.getByRole('button', { name: 'Add, then enroll' }).click();

  // Enrollment from files, only with consent.
  const sheet = office.getByRole('dialog', { name: PERSON });
  await sheet.getByText('No face is enrolled').waitFor();
  await sheet.getByLabel('Photos', { exact: true }).first().setInputFiles([portrait('obama'), portrait('obama2')]);
  const enroll = sheet.getByRole('button', { name: 'Enroll with 2 photos' });
  await enroll.waitFor();
  assert.equal(await enroll.isDisabled(), true, 'no enrollment without consent');
  await sheet.getByLabel(`${PERSON} agrees`).check();
  await enroll.click();
  await sheet.getByText(`${PERSON} is enrolled: 2 of 2 photos used`).waitFor();
  assert.equal(await sheet.locator('.shot.good').count(), 2);
  await sheet.getByText('Delete the face').waitFor();
  await picture(office, 'person-enrolled');
  await sheet.getByRole('button', { name: 'Close' }).click();
  await office.locator('#people .badge', { hasText: 'Enrolled' }).waitFor();

  // A device; its pairing link is shown once.
  await office.getByRole('link', { name: 'Devices' }).click();
  await office.getByRole('button', { name: 'Add a device' }).click();
  const device = office.getByRole('dialog', { name: 'Add a device' });
  await device.getByLabel('Name').fill('Front door');
  await device.getByRole('button', { name: 'Add', exact: true }).click();
  await office.getByRole('button', { name: 'Done' }).waitFor();
  const link = await office.getByLabel('Pairing link').inputValue();
  assert.match(link, /\/kiosk#.{20,}/u);
  await picture(office, 'device-token');
  await office.getByRole('button', { name: 'Done' }).click();
  // The page removes the token with the dialog.
  await office.getByLabel('Pairing link').waitFor({ state: 'detached' });
  await office.locator('#devices').getByText('Front door').waitFor();

  // The kiosk pairs with the link, sees the person, and shows who came in.
  const kiosk = await browser.page({ server });
  await kiosk.goto(link);
  await kiosk.waitForFunction(() => location.hash === '');
  await kiosk.locator('#answer', { hasText: new RegExp(`${PERSON}\\s*In \\d\\d:\\d\\d`, 'u') }).waitFor();
  await picture(kiosk, 'kiosk-in');

  // The page of punches shows it with its numbers.
  await office.getByRole('link', { name: 'Punches' }).click();
  const row = office.locator('#punches > li');
  await row.filter({ hasText: PERSON }).waitFor();
  assert.equal(await row.count(), 1);
  await office.locator('#count-in', { hasText: /^1$/u }).waitFor();
  await row.locator('summary').click();
  const facts = await row.locator('dl').innerText();
  assert.match(facts, /Match\s+0\.\d{3}/u);
  assert.match(facts, /Required\s+0\.\d{3}/u);
  await picture(office, 'desk-punch');

  // The kiosk stays paired after a reload without the token in its address.
  await kiosk.goto('/kiosk');
  await kiosk.getByText('Front door', { exact: true }).waitFor();
  assertClean(office, kiosk);
});

test('a wrong password is refused, the right one returns to the requested page', async () => {
  const page = await browser.page({ server });
  await page.goto('/people#new');
  await page.waitForURL(/\/sign-in\?next=/u);
  await page.getByLabel('Email').fill(ADMIN.email);
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('alert').waitFor();
  await picture(page, 'sign-in-refused');
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();

  // The requested page, including the fragment.
  await page.getByRole('dialog', { name: 'Add a person' }).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(/\/sign-in$/u);
  assertClean(page);
});

test('a face of another person is refused with that name, also from the camera', async () => {
  await server.signIn();
  const page = await browser.page({ server, signedIn: true });
  const twin = await server.addEmployee('Someone Else', 'P45');
  await page.goto(`/people#${twin.id}`);
  const sheet = page.getByRole('dialog', { name: 'Someone Else' });
  await sheet.getByRole('button', { name: /Use the camera/u }).click();
  for (const pose of [/straight/u, /left/u, /right/u]) {
    await sheet.getByText(pose).waitFor();
    await sheet.getByRole('button', { name: 'Take the photo' }).click();
  }
  await sheet.getByLabel('Someone Else agrees').check();
  await picture(page, 'enroll-camera');
  await sheet.getByRole('button', { name: 'Enroll with 3 photos' }).click();
  await sheet.getByText('This face already belongs to another person').waitFor();
  await sheet.getByRole('link', { name: `${PERSON} (P44)` }).waitFor();
  await picture(page, 'enroll-duplicate');

  // An admin can enroll it after a confirmation.
  await sheet.getByRole('button', { name: 'Enroll anyway' }).click();
  await page.getByRole('dialog', { name: 'Enroll anyway?' }).getByRole('button', { name: 'Enroll anyway' }).click();
  await sheet.getByText(/Someone Else is enrolled: \d of 3 photos used/u).waitFor();

  // Deleting the face needs a confirmation.
  await sheet.getByRole('button', { name: 'Delete the face' }).click();
  const question = page.getByRole('dialog', { name: /Delete the face of/u });
  await question.getByRole('button', { name: 'Delete the face' }).click();
  await sheet.getByText('No face is enrolled').waitFor();
  assertClean(page);
});

// Templates over time: a change of the model, and templates that grow with punches.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertClean, picture } from './support/browser.js';
import { Server } from './support/server.js';

let browser;
before(async () => {
  browser = await Browser.start('biden');
});
after(() => browser?.end());

/** Returns the name of the person who punched. */
const punched = async (server, kiosk, name) => {
  const answer = await server.punch(kiosk, name);
  assert.equal(answer.outcome, 'punched', JSON.stringify(answer));
  return answer.punch.name;
};

test('after a change of the model both models answer, and the desk counts who must be enrolled again', async (t) => {
  const server = await Server.startWithAdmin({ MODEL_PACK: 'dlib', COOLDOWN: '0s' });
  t.after(() => server.end());
  const kiosk = await server.addDevice('Door');
  const obama = await server.addFace('Barack Obama', 'P44', 'obama');
  await server.addFace('Grace Hopper', 'P01', 'hopper');
  await server.stop();
  Object.assign(server.env, { MODEL_PACK: 'mobilefacenet', PREVIOUS_MODEL_PACK: 'dlib' });
  await server.resume();
  assert.equal(await punched(server, kiosk, 'obama2'), 'Barack Obama');

  const page = await browser.page({ server, signedIn: true });
  await page.goto('/punches');
  await page.getByRole('link', { name: '2 people must be enrolled again' }).click();
  await page.getByRole('link', { name: /Barack Obama/u }).click();
  const sheet = page.getByRole('dialog', { name: 'Barack Obama' });
  await sheet.getByText('The model has changed: enroll the face again').waitFor();
  await picture(page, 'model-changed');

  await server.enroll(obama, 'obama', 'obama3');
  await page.goto('/punches');
  await page.getByRole('link', { name: 'One person must be enrolled again' }).waitFor();
  assert.equal(await punched(server, kiosk, 'obama2'), 'Barack Obama');
  assert.equal(await punched(server, kiosk, 'hopper'), 'Grace Hopper');
  assert.equal((await server.punch(kiosk, 'collins')).outcome, 'nobody');
  assertClean(page);
});

test('clear punches improve templates where the site allows it, and an admin can remove these templates', async (t) => {
  const server = await Server.startWithAdmin({ COOLDOWN: '0s' });
  t.after(() => server.end());
  const [site] = await server.sites();
  await server.changeSite(site.id, { grow_templates: true });
  const kiosk = await server.addDevice('Door');
  const { id } = await server.addFace('Barack Obama', 'P44', 'obama', 'obama3');
  await punched(server, kiosk, 'obama2');

  const page = await browser.page({ server, signedIn: true });
  await page.goto(`/people#${id}`);
  const sheet = page.getByRole('dialog', { name: 'Barack Obama' });
  await sheet.getByText('3 templates, 1 from punches').waitFor();
  await picture(page, 'templates-grown');
  await sheet.getByRole('button', { name: 'Remove templates from punches' }).click();
  await sheet.getByText('2 templates', { exact: true }).waitFor();
  await sheet.getByRole('button', { name: 'Remove templates from punches' }).waitFor({ state: 'detached' });
  assertClean(page);
});

// Sites: with one, no page mentions it; with two, people, devices and punches show theirs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser, assertClean, picture, until } from './support/browser.js';
import { openKiosk } from './support/kiosk.js';
import { Server } from './support/server.js';

/** What a clock in a zone shows at a time: "09:01". */
const clockIn = (timeZone, at) => new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone }).format(new Date(at));

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

test('a second site can be added, and a person and a device moved to it', async () => {
  const person = await server.addFace('Grace Hopper', 'P01', 'hopper');
  const kiosk = await server.addDevice('Front door');
  const page = await browser.page({ server, signedIn: true });

  // With one site, nothing asks for it.
  await page.goto('/devices');
  await page.getByRole('button', { name: 'Add a device' }).click();
  await page.getByRole('dialog', { name: 'Add a device' }).getByLabel('Name').waitFor();
  assert.ok(await page.getByRole('dialog', { name: 'Add a device' }).getByLabel('Site', { exact: true }).isHidden());
  await page.keyboard.press('Escape');

  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Sites', exact: true }).click();
  await page.getByText('UTC · workday from 04:00').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Remove Main site' }).count(), 0);
  await page.getByRole('button', { name: 'Add a site' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a site' });
  await adding.getByLabel('Name').fill('main SITE');
  await adding.getByLabel('Time zone').fill('Berlin');
  await adding.getByLabel('Start of the workday').fill('05:30');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await adding.getByText('Must be an IANA time zone such as Europe/Berlin').waitFor();
  await adding.getByLabel('Time zone').fill('Pacific/Kiritimati');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await adding.getByText('Another site has this name').waitFor();
  await picture(page, 'site-add');
  await adding.getByLabel('Name').fill('Harbor');
  await adding.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('Pacific/Kiritimati · workday from 05:30').waitFor();
  await picture(page, 'sites');
  await page.getByRole('button', { name: 'Remove Harbor' }).click();
  await page.getByRole('dialog', { name: 'Remove Harbor?' }).waitFor();
  await page.keyboard.press('Escape');
  await until('the focus returns to the button', () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Remove Harbor'));

  // The person.
  await page.goto(`/people#${person.id}`);
  const sheet = page.getByRole('dialog', { name: 'Grace Hopper' });
  await sheet.getByLabel('Site', { exact: true }).selectOption('Harbor');
  await picture(page, 'site-person');
  await sheet.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#people').getByText('P01 · Harbor').waitFor();
  await page.getByLabel('Filter by site').selectOption('Main site');
  await page.getByText('Nobody found').waitFor();
  await page.getByLabel('Filter by site').selectOption('Harbor');
  await page.locator('#people').getByText('P01 · Harbor').waitFor();

  // The device.
  await page.goto('/devices');
  await page.locator('#devices').getByText(/^Main site · added/u).waitFor();
  await page.getByRole('button', { name: 'Change Front door' }).click();
  const changing = page.getByRole('dialog', { name: 'Change the device' });
  await changing.getByLabel('Name').fill('Quay');
  await changing.getByLabel('Site', { exact: true }).selectOption('Harbor');
  await picture(page, 'site-device');
  await changing.getByRole('button', { name: 'Save' }).click();
  await page.locator('#devices').getByText(/^Harbor · added/u).waitFor();
  await picture(page, 'site-devices');

  // With several sites, a new device needs one; none is assumed.
  await page.getByRole('button', { name: 'Add a device' }).click();
  const device = page.getByRole('dialog', { name: 'Add a device' });
  await device.getByLabel('Name').fill('Gate');
  await device.getByRole('button', { name: 'Add', exact: true }).click();
  await device.getByText('Choose the site where the device is').waitFor();
  await picture(page, 'site-device-add');
  await device.getByRole('button', { name: 'Cancel' }).click();

  // Rules are those of one site, and lead to those of the others.
  const harbor = (await server.sites()).find(({ name }) => name === 'Harbor');
  await page.goto(`/site?id=${harbor.id}`);
  await page.getByText('at this site only').waitFor();
  await picture(page, 'site-rules-of-one');
  await page.getByRole('link', { name: 'Main site' }).click();
  await page.getByRole('heading', { name: 'Rules of Main site' }).waitFor();
  await page.getByRole('link', { name: 'Harbor' }).waitFor();

  // Its punches say where they were made, and count for the day there.
  const { punch } = await server.punch(kiosk, 'hopper');
  await page.goto('/punches');
  const row = page.locator(`[data-punch="${punch.id}"]`);
  await row.getByText('Quay, Harbor').waitFor();
  await row.locator('summary').click();
  await row.locator('.facts div', { hasText: 'Site' }).getByText('Harbor').waitFor();
  await picture(page, 'site-punch');

  // The site cannot be removed while they belong to it.
  await page.goto('/sites');
  await page.getByRole('button', { name: 'Remove Harbor' }).click();
  await page.getByRole('dialog', { name: 'Remove Harbor?' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('People and devices belong to this site: move them to another site first').waitFor();
  assertClean(page);
});

test('punches are listed for the day of the site, not of the browser', async () => {
  const main = (await server.sites()).find((site) => site.is_default);
  // Where it is another date than where the browser is, whatever the time.
  const away = new Date().getUTCHours() < 11 ? 'Pacific/Pago_Pago' : 'Pacific/Kiritimati';
  await server.changeSite(main.id, { zone: away, workday_starts: '00:00' });
  for (const site of await server.sites()) if (site.id !== main.id) await server.changeSite(site.id, { zone: away, workday_starts: '00:00' });
  const { workday } = await server.site(main.id);
  const page = await browser.page({ server, signedIn: true, timezoneId: 'UTC' });
  await page.goto('/punches');
  await page.locator('[data-state="live"]').waitFor();
  const expected = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' }).format(new Date(`${workday}T12:00`));
  assert.equal(await page.locator('#day').textContent(), expected);
  assert.notEqual(workday, new Date().toISOString().slice(0, 10));

  // Their times are those of the site, and the page says so.
  const ada = await server.addEmployee('Ada Lovelace', 'P02');
  const { punch } = await server.punchByHand(ada, 'in', 'Forgot the badge');
  await page.locator(`[data-punch="${punch.id}"] time`, { hasText: clockIn(away, punch.at) }).waitFor();
  await page.locator('#present li', { hasText: 'Ada Lovelace' }).getByText(`since ${clockIn(away, punch.at)}`).waitFor();
  await page.getByText(`Times are in the time zone of the site (${away.replace('_', ' ')})`).waitFor();
  await picture(page, 'punches-other-zone');
  const at = new Date(Date.parse(punch.at) - 60_000).toISOString();
  await server.correct(ada, { action: 'move', punch: punch.id, at });
  await page.locator(`[data-punch="${punch.id}"]`).getByText(new RegExp(`^Moved by a correction: counts at .* ${clockIn(away, at)} `, 'u')).waitFor();

  // A notice of a punch has its time there, too, as the dialog that it opens.
  const answer = (path, items) => page.route(path, (route) => route.fulfill({ json: { items, next: null } }));
  const refused = '00000000-0000-7000-8000-0000000000ff';
  await answer('**/api/notices', [
    { kind: 'refused_punch', employee: null, name: 'Gate', since: at, id: refused },
    { kind: 'missing_out', employee: ada.id, name: ada.name, since: at, day: workday },
  ]);
  await page.goto('/inbox');
  const since = (kind) => page.locator(`[data-notice="${kind}"]`).getByText(new RegExp(`^Since .* ${clockIn(away, at)} `, 'u'));
  await since('missing_out').waitFor();
  await since('refused_punch').waitFor();
  // With other zones, that of the kiosk's site counts, and of a missing out only the day is known.
  await answer('**/api/sites*', [{ ...main, zone: away }, { ...main, id: refused, zone: 'UTC' }]);
  await answer('**/api/refused-punches*', [{ id: refused, site: main.id }]);
  await page.reload();
  await since('refused_punch').waitFor();
  await page.getByRole('button', { name: new RegExp(`^Decide on the punch: Gate, .* ${clockIn(away, at)} `, 'u') }).waitFor();
  assert.equal(await since('missing_out').count(), 0);
  assertClean(page);
});

test('a manager finds the punches of their people at other sites', async () => {
  // Grace punched at the harbor, and belongs to the main site now.
  const main = (await server.sites()).find((site) => site.is_default);
  const { items } = await server.ask('GET', '/api/employees?q=P01');
  await server.ask('PATCH', `/api/employees/${items[0].id}`, { site: main.id });
  const manager = await server.addAccount({ email: 'mona@example.org', role: 'manager', site: main.name });
  const page = await browser.page({ server: manager, signedIn: true });
  await page.goto('/punches');
  await page.locator('#punches').getByText('Ada Lovelace').waitFor();
  const elsewhere = page.getByText(/^Here today without a punch in this list: Grace Hopper$/u);
  await elsewhere.waitFor();
  await picture(page, 'punches-elsewhere');
  await elsewhere.getByRole('link', { name: 'Grace Hopper' }).click();
  await page.getByRole('dialog').locator('[data-punch]').getByText(/Harbor$/u).waitFor();
  assertClean(page);
});

test('a kiosk has the clock of its site, also without a connection', async () => {
  const main = (await server.sites()).find((site) => site.is_default);
  const { kiosk } = await openKiosk(server, browser, 'Lobby', { timezoneId: 'UTC' });
  const shows = async () => (await kiosk.locator('#clock').textContent()) === clockIn(main.zone, new Date());
  await until('the clock is that of the site', shows);
  await kiosk.route('**/api/**', (route) => route.abort());
  await kiosk.reload();
  await kiosk.getByText('No connection').waitFor();
  await until('the clock is still that of the site', shows);
});

// The kiosk: pairing, people who stay or are unknown, and a server that fails and recovers.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Browser, assertClean, picture, until } from './support/browser.js';
import { ADMIN, Server } from './support/server.js';

const PERSON = 'Barack Obama';
const TABLET = { viewport: { width: 800, height: 1280 } };

let server;
let browser;
before(async () => {
  // A short cooldown, so that a second punch of the same person counts.
  server = await Server.startWithAdmin({ COOLDOWN: '1s', KEEP_UNKNOWN_FACES: '24h' });
  browser = await Browser.start('obama3');
});
after(async () => {
  await browser?.end();
  await server?.end();
});

// An open kiosk would continue to punch.
afterEach(() => browser.closePages());

/** Opens a new kiosk, paired by its link. */
async function openKiosk(name) {
  const device = await server.addDevice(name);
  const kiosk = await browser.page({ server, ...TABLET });
  await kiosk.goto(`/kiosk#${device.token}`);
  return { kiosk, device };
}

/**
 * Returns the kiosk's saved bursts, oldest first. With `later`, first adds a copy of the first burst as if motion had
 * triggered it that many milliseconds later; with `visit`, as if a person had left and come in between.
 */
function savedIn(kiosk, later = 0, visit = undefined) {
  return kiosk.evaluate(
    ({ milliseconds, visit }) =>
      new Promise((resolve, reject) => {
        const opened = indexedDB.open('rollcall-kiosk');
        opened.onerror = () => reject(opened.error);
        opened.onsuccess = () => {
          const store = opened.result.transaction('bursts', 'readwrite').objectStore('bursts');
          store.getAll().onsuccess = ({ target: { result } }) => {
            if (milliseconds > 0) {
              const { id, look, ...first } = result[0];
              store.add({ ...first, byHand: false, key: crypto.randomUUID(), capturedAt: first.capturedAt + milliseconds, visit: visit ?? first.visit });
            }
            store.getAll().onsuccess = ({ target }) => resolve(target.result.map(({ key, capturedAt }) => ({ key, capturedAt })));
          };
        };
      }),
    { milliseconds: later, visit },
  );
}

test('an unpaired kiosk says what to do, and accepts a pasted link', async () => {
  const device = await server.addDevice('Back door');
  const kiosk = await browser.page({ server, ...TABLET });
  await kiosk.goto('/kiosk');
  await kiosk.getByText('This kiosk is not paired').waitFor();
  await kiosk.getByLabel('Pairing link or token').fill('not-a-token-of-anything');
  await kiosk.getByRole('button', { name: 'Pair this kiosk' }).click();
  await kiosk.getByText('No device has this token').waitFor();
  await picture(kiosk, 'kiosk-unpaired');
  await kiosk.getByLabel('Pairing link or token').fill(`${server.origin}/kiosk#${device.token}`);
  await kiosk.getByRole('button', { name: 'Pair this kiosk' }).click();
  await kiosk.locator('#device-name', { hasText: 'Back door' }).waitFor();
  await kiosk.getByText('Connected').waitFor();

  // Nobody is enrolled, so the person is a stranger and gets no name.
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.getByText('Not recognized', { exact: true }).waitFor();
  await picture(kiosk, 'kiosk-stranger');

  // After the token is revoked, the kiosk returns to the start.
  await server.revokeDevice(device);
  await kiosk.getByText('This kiosk is not paired').waitFor();
  assert.equal(await kiosk.evaluate(() => localStorage.getItem('rollcall.kiosk')), null);
  assertClean(kiosk);
});

test('a kiosk can be paired by the code that it shows', async () => {
  const kiosk = await browser.page({ server, ...TABLET });
  await kiosk.goto('/kiosk');
  const code = kiosk.locator('#pair-code');
  await code.filter({ hasText: /^[0-9A-Z]{4}-[0-9A-Z]{4}$/u }).waitFor();
  await picture(kiosk, 'kiosk-code');
  const office = await browser.page({ server });
  await office.goto('/sign-in');
  await office.getByLabel('Email').fill(ADMIN.email);
  await office.getByLabel('Password').fill(ADMIN.password);
  await office.getByRole('button', { name: 'Sign in', exact: true }).click();
  await office.getByRole('link', { name: 'Devices' }).click();
  await office.getByRole('button', { name: 'Add a device' }).click();
  const dialog = office.getByRole('dialog', { name: 'Add a device' });
  await dialog.getByLabel('Name').fill('By code');
  await dialog.getByLabel('Code').fill('0000 0000');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.getByText('No kiosk shows this code').waitFor();
  await picture(office, 'device-code');
  await dialog.getByLabel('Code').fill((await code.innerText()).toLowerCase());
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  const question = office.getByRole('dialog', { name: 'Pair this kiosk?' });
  await question.getByText(/^A browser at \S+ asked for this code at \d/u).waitFor();
  await picture(office, 'device-pair');
  await question.getByRole('button', { name: 'Pair', exact: true }).click();
  await office.getByText('By code is paired').waitFor();
  await office.locator('#devices').getByText('By code').waitFor();
  await kiosk.locator('#device-name', { hasText: 'By code' }).waitFor();
  assertClean(kiosk, office);
});

test('a new tablet takes the place of a kiosk, which the page Devices describes', async () => {
  const { kiosk, device } = await openKiosk('Reception');
  const tablet = await browser.page({ server, ...TABLET });
  await tablet.goto('/kiosk');
  const code = tablet.locator('#pair-code');
  await code.filter({ hasText: /^[0-9A-Z]{4}-[0-9A-Z]{4}$/u }).waitFor();
  const office = await browser.page({ server, signedIn: true });
  const reported = async () => {
    const items = await server.list('/api/devices');
    return items.find(({ id }) => id === device.id).status;
  };
  await until('the kiosk reports its state', async () => (await reported()) !== null);
  const { camera, unsent, clock_offset_ms: offset } = await reported();
  assert.deepEqual({ camera, unsent }, { camera: 'on', unsent: 0 });
  assert.ok(Math.abs(offset) < 10_000, `${offset}`);
  await office.goto('/devices');
  await office.locator('#devices li', { hasText: 'Reception' }).getByText(/seen .* · version /u).waitFor();
  await office.getByRole('button', { name: 'Change Reception' }).click();
  const dialog = office.getByRole('dialog', { name: 'Change the device' });
  await dialog.getByLabel(/^Code/u).fill(await code.innerText());
  await picture(office, 'device-replace');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await office.getByRole('dialog', { name: 'Pair this kiosk?' }).getByRole('button', { name: 'Pair', exact: true }).click();
  await office.getByText('Reception is paired').waitFor();
  await tablet.locator('#device-name', { hasText: 'Reception' }).waitFor();
  await kiosk.getByText('This kiosk is not paired').waitFor();
  assertClean(tablet, office);
});

test('a kiosk renews its token by itself', async () => {
  const own = await Server.startWithAdmin({ DEVICE_TOKEN_AGE: '30s' });
  try {
    const { token } = await own.addDevice('Gate');
    await sleep(11_000);
    const kiosk = await browser.page({ server: own, ...TABLET });
    await kiosk.goto(`/kiosk#${token}`);
    const kept = () => kiosk.evaluate(() => JSON.parse(localStorage.getItem('rollcall.kiosk') ?? '{}').token);
    await until('a new token', async () => ![undefined, token].includes(await kept()));
    await kiosk.getByText('Connected').waitFor();
    await kiosk.reload();
    await kiosk.getByText('Connected').waitFor();
    // The first use of the new token ended the old one.
    const answer = await fetch(`${own.origin}/api/device`, { headers: { Authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 401);
    assertClean(kiosk);
  } finally {
    await own.end();
  }
});

test('an invalid pairing link is refused and removed from the address at once', async () => {
  const kiosk = await browser.page({ server });
  await kiosk.goto('/kiosk#wrong-token');
  await kiosk.getByText('That pairing link is not valid').waitFor();
  await kiosk.waitForFunction(() => location.hash === '');
  assertClean(kiosk);
});

test('the kiosk explains a blocked camera', async () => {
  const { token } = await server.addDevice('No camera');
  const kiosk = await browser.page({ server });
  await kiosk.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));
  });
  await kiosk.goto(`/kiosk#${token}`);
  await kiosk.getByText('The camera is not allowed').waitFor();
  await kiosk.getByRole('button', { name: 'Try again' }).waitFor();
  await picture(kiosk, 'kiosk-no-camera');
  assertClean(kiosk);
});

test('a saved face that the service does not know goes to a manager with its picture', async () => {
  const { kiosk } = await openKiosk('Far gate');
  await kiosk.getByText('Connected').waitFor();
  await server.stop();
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.getByText(/^Picture saved at \d\d:\d\d$/u).waitFor();
  await server.resume();
  const refused = async () => (await server.list('/api/refused-punches')).filter(({ device_name: name }) => name === 'Far gate');
  await until('it is handed over', async () => (await refused()).length > 0 && (await savedIn(kiosk)).length === 0);
  await kiosk.close();
  const before = await refused();
  assert.ok(before.every(({ how, reason, picture: shown }) => how === 'face' && reason === 'nobody' && shown), JSON.stringify(before));

  const office = await browser.page({ server, signedIn: true });
  await office.goto('/inbox');
  const notices = office.locator('[data-notice="refused_punch"]', { hasText: 'Far gate' });
  await notices.first().getByRole('button', { name: /^Decide/u }).click();
  const dialog = office.getByRole('dialog', { name: 'A punch that was not accepted' });
  const shown = dialog.getByRole('img', { name: 'The person at the kiosk' });
  await until('the picture', () => shown.evaluate((image) => image.complete && image.naturalWidth > 0));
  await picture(office, 'inbox-refused-face');
  await dialog.getByRole('button', { name: 'Dismiss' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await refused()).length, before.length - 1);
  assertClean(kiosk, office);
});

test('a person who stays is punched once; an offline capture arrives once', async () => {
  const { id } = await server.addFace(PERSON, 'P44', 'obama', 'obama2');
  const { kiosk } = await openKiosk('Front door');
  await kiosk.locator('#answer', { hasText: new RegExp(`${PERSON}\\s*In `, 'u') }).waitFor();

  // A person who only stays and talks is not punched out after the cooldown.
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  await sleep(12_000);
  assert.deepEqual((await server.punches()).map((punch) => punch.kind), ['in']);

  // The server stops: a press on the button saves a picture, and the kiosk says so.
  await server.stop();
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.getByText(/^Picture saved at \d\d:\d\d$/u).waitFor();
  await picture(kiosk, 'kiosk-saved');
  await kiosk.getByText('1 saved, will be checked').waitFor();
  await kiosk.getByText('No connection', { exact: true }).waitFor();

  // The burst is on the disk: a kiosk that is closed would still have it. Motion saves the same person again while
  // they stay.
  assert.equal((await savedIn(kiosk)).length, 1);
  assert.equal((await savedIn(kiosk, 2000)).length, 2);
  assert.equal((await savedIn(kiosk, 4000)).length, 3);

  await server.resume();
  await kiosk.getByText('Connected').waitFor();
  await kiosk.locator('#saved', { hasText: /^$/u }).waitFor({ state: 'attached' });
  await sleep(5000);
  const [late, ...earlier] = await server.punches();
  assert.deepEqual(earlier.map((punch) => punch.kind), ['in'], 'one punch out, however long the person stayed');
  assert.equal(late.employee, id);
  assert.equal(late.kind, 'out');
  assert.equal(late.clock, 'device');
  assertClean(kiosk);
});

test('an outage of the service punches nobody who stays', async () => {
  const { kiosk } = await openKiosk('Hall');
  const mine = async () => (await server.punches()).filter((punch) => punch.origin.name === 'Hall');
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  const before = await mine();
  assert.equal(before.length, 1);
  await server.stop();
  await kiosk.getByText('No connection', { exact: true }).waitFor();
  // Longer than the kiosk remembers a person out of view.
  await sleep(30_000);
  assert.deepEqual(await savedIn(kiosk), [], 'no new person came');
  await server.resume();
  await kiosk.getByText('Connected', { exact: true }).waitFor();
  await sleep(15_000);
  assert.deepEqual(await mine(), before);
  assertClean(kiosk);
});

test('a person who looks away is not punched out, and a failing burst does not block others', async () => {
  const { kiosk } = await openKiosk('Corridor');
  const mine = async () => (await server.punches()).filter((punch) => punch.origin.name === 'Corridor');
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  const before = await mine();
  // From now on the face cannot be identified.
  let asked = 0;
  await kiosk.route('**/api/identify', async (route) => {
    asked += 1;
    const face = { box: { x: 0, y: 0, width: 200, height: 200 }, employee: null };
    await route.fulfill({ contentType: 'application/json', body: JSON.stringify({ faces: [face] }) });
  });
  await kiosk.route('**/api/verify', (route) => route.fulfill({ contentType: 'application/json', body: '{"match":false}' }));
  await sleep(12_000);
  await until('the kiosk asks', () => asked > 0);
  assert.deepEqual(await mine(), before);

  await kiosk.unroute('**/api/verify');

  // Two bursts are saved, and the service always fails at the first.
  await server.stop();
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.getByText('1 saved, will be checked').waitFor();
  const [, second] = await savedIn(kiosk, 60_000, 1);
  const [{ key }] = await savedIn(kiosk);
  let failed = 0;
  await kiosk.route('**/api/punches*', (route) => {
    if (route.request().headers()['idempotency-key'] !== key) return route.continue();
    failed += 1;
    return route.fulfill({ status: 500, contentType: 'application/problem+json', body: '{"code":"internal","status":500,"detail":"broken"}' });
  });
  await server.resume();
  await until('it is handed over', async () => (await savedIn(kiosk)).length === 0);
  assert.equal(failed, 3);
  const late = (await mine()).filter((punch) => punch.captured_at);
  assert.deepEqual(late.map((punch) => new Date(punch.captured_at).getTime()), [second.capturedAt]);
  const passedOn = (await server.list('/api/refused-punches')).filter(({ device_name: name }) => name === 'Corridor');
  assert.deepEqual(passedOn.map(({ how, reason }) => [how, reason]), [['face', 'failed']]);
  assertClean(kiosk);
});

test('the answer of a proxy before a stopped service ends neither the pairing nor what is saved', async () => {
  const { kiosk } = await openKiosk('Behind a proxy');
  const mine = async () => (await server.punches()).filter((punch) => punch.origin.name === 'Behind a proxy');
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  await kiosk.locator('#answer').waitFor({ state: 'hidden' });
  const [first, ...others] = await mine();
  assert.deepEqual(others, []);
  // A stopped container, an expired sign-in of the proxy, a sign-in page.
  const answers = [
    { status: 404, contentType: 'text/plain', body: '404 page not found' },
    { status: 401, contentType: 'text/html', body: '<!doctype html>Sign in' },
    { status: 200, contentType: 'text/html', body: '<!doctype html>Sign in' },
  ];
  let asked = 0;
  await kiosk.route(/\/api\//u, (route) => route.fulfill(answers[asked++ % answers.length]));
  await kiosk.getByRole('button', { name: 'Punch now' }).click();
  await kiosk.getByText(/^Picture saved at \d\d:\d\d$/u).waitFor();
  await kiosk.getByText('No connection', { exact: true }).waitFor();
  const before = asked;
  await until('the kiosk tries to deliver it', () => asked > before + answers.length);
  assert.equal((await savedIn(kiosk)).length, 1);
  await kiosk.unroute(/\/api\//u);
  await kiosk.getByText('Connected', { exact: true }).waitFor();
  await kiosk.locator('#saved', { hasText: /^$/u }).waitFor({ state: 'attached' });
  const [late] = await mine();
  assert.notEqual(late.id, first.id);
  assert.equal(late.clock, 'device');
  assertClean(kiosk);
});

test('the kiosk repeats a request with the same key after a lost answer', async () => {
  const { kiosk } = await openKiosk('Bad line');
  const keys = [];
  let lost = 0;
  await kiosk.route('**/api/punches*', async (route) => {
    keys.push(route.request().headers()['idempotency-key']);
    if (lost++ > 0) return route.continue();
    await route.fetch();
    await route.abort('connectionreset');
  });
  await kiosk.locator('#answer:not([hidden])').waitFor();
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  assert.equal(keys[0], keys[1]);
  const byBadLine = (await server.punches()).filter((punch) => punch.origin.name === 'Bad line');
  assert.equal(byBadLine.length, 1);
  assertClean(kiosk);
});

test('the kiosk waits as long as a busy server asks', async () => {
  const { kiosk } = await openKiosk('Busy');
  const times = [];
  await kiosk.route('**/api/punches*', (route) => {
    times.push(Date.now());
    if (times.length > 1) return route.continue();
    return route.fulfill({ status: 503, headers: { 'Retry-After': '2' }, contentType: 'application/problem+json', body: '{"code":"overloaded","status":503}' });
  });
  await kiosk.locator('#answer-name', { hasText: PERSON }).waitFor();
  assert.ok(times[1] - times[0] >= 2000, `tried again after ${times[1] - times[0]} ms`);
  assertClean(kiosk);
});

test('the kiosk tells an employee with a look-alike what to do, and shows no name', async () => {
  const { kiosk } = await openKiosk('Twins');
  const detail = "this face looks too much like a colleague's: ask a manager";
  const nobody = { outcome: 'nobody', reason: 'look_alike', detail, similarity: 0.98, threshold: 0.95, margin: 0.002 };
  await kiosk.route('**/api/punches*', (route) => route.fulfill({ contentType: 'application/json', body: JSON.stringify(nobody) }));
  await kiosk.locator('#answer:not([hidden])').waitFor();
  assert.equal(await kiosk.locator('#answer-name').textContent(), 'Not recognized');
  assert.equal(await kiosk.locator('#answer-text').textContent(), "This face looks too much like a colleague's: ask a manager");
  assert.equal(await kiosk.locator('#answer').getAttribute('data-tone'), 'warn');
  assertClean(kiosk);
});

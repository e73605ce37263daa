// A kiosk on another machine: browsers allow the camera only over https.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Browser, assertClean, picture } from './support/browser.js';
import { BINARY, Server } from './support/server.js';

const HOST = 'kiosk.test';
/** Replaces the authority that a tablet would trust; tests/cli checks that chain. */
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

let folder;
let server;
let browser;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rollcall-tls-'));
  await promisify(execFile)(BINARY, ['tls', 'init', '--into', folder, HOST, 'localhost'], { env: { DATA_DIR: folder } });
  const [TLS_CERT, TLS_KEY] = [path.join(folder, 'server.crt'), path.join(folder, 'server.key')];
  server = await Server.startWithAdmin({ TLS_CERT, TLS_KEY });
  await server.addFace('Barack Obama', 'E1', 'obama', 'obama2');
  const key = new X509Certificate(await readFile(TLS_CERT)).publicKey.export({ type: 'spki', format: 'der' });
  const trusted = createHash('sha256').update(key).digest('base64');
  const more = [`--host-resolver-rules=MAP ${HOST} 127.0.0.1`, `--ignore-certificate-errors-spki-list=${trusted}`];
  browser = await Browser.start('obama3', { more });
});
after(async () => {
  await browser?.end();
  await server?.end();
  if (folder) await rm(folder, { recursive: true, force: true });
});

test('the kiosk can use its camera over https with another host name', async () => {
  const device = await server.addDevice('Front door');
  const kiosk = await browser.page({ viewport: { width: 800, height: 1280 } });
  await kiosk.goto(`https://${HOST}:${server.port}/kiosk#${device.token}`);
  await kiosk.getByText('Barack Obama').first().waitFor();
  await picture(kiosk, 'kiosk-https');
  assert.equal(await kiosk.evaluate(() => window.isSecureContext), true);
  const [punch] = await server.punches();
  assert.equal(punch.name, 'Barack Obama');
  assertClean(kiosk);
});

// Chromium with a fake camera that shows a portrait. A test fails on any console error of its pages and on any
// violation of the Content-Security-Policy.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import axe from 'axe-core';
import { chromium } from 'playwright-core';

import { ROOT, portrait } from './server.js';

const run = promisify(execFile);
const RESULTS = path.join(ROOT, 'test-results');
/** Length in seconds and frame rate of the film: short, because Chromium repeats it. */
const SECONDS = '2';
const RATE = '10';
const DEFAULT_CHROMIUM = '/usr/bin/chromium';
/** Maximum time of every wait: a machine that runs other tests too may take this long. */
export const PATIENCE_MS = 120_000;

/** Chromium's message for a failed request; the test itself knows whether it expected that. */
const REFUSED_REQUEST = /^Failed to load resource/u;

export class Browser {
  /**
   * Starts Chromium with additional arguments. The camera shows this portrait or picture file; with `away`, it
   * alternates with that many seconds of an empty wall.
   */
  static async start(shown, { away = 0, more = [] } = {}) {
    const browser = new Browser();
    browser.folder = await mkdtemp(path.join(tmpdir(), 'rollcall-film-'));
    const film = path.join(browser.folder, 'camera.mjpeg');
    await makeFilm(path.isAbsolute(shown) ? shown : portrait(shown), film, away);
    const wanted = process.env.ROLLCALL_TEST_CHROMIUM ?? DEFAULT_CHROMIUM;
    browser.chromium = await chromium.launch({
      executablePath: wanted,
      args: [
        '--no-sandbox',
        '--use-fake-ui-for-media-stream',
        '--use-fake-device-for-media-stream',
        `--use-file-for-fake-video-capture=${film}`,
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
        '--disable-quic',
        ...more,
      ],
    });
    return browser;
  }

  /** Opens a page in a new context (cookies, storage) and watches it for errors. */
  async page({ server, signedIn = false, ...options } = {}) {
    const context = await this.chromium.newContext({ baseURL: server?.origin, viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    if (signedIn) await context.addCookies([server.cookie]);
    return watch(await context.newPage());
  }

  /** Closes every page. */
  closePages = () => Promise.all(this.chromium.contexts().map((context) => context.close()));

  async end() {
    await this.chromium?.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Collects the errors of a page for `assertClean`. */
export async function watch(page) {
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error.stack ?? String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !REFUSED_REQUEST.test(message.text())) page.problems.push(message.text());
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI || event.sourceFile}`);
    });
  });
  return page;
}

/** Fails if a page had an error. */
export function assertClean(...pages) {
  for (const page of pages) assert.deepEqual(page.problems, [], `errors on ${page.url()}`);
}

/** Fails if axe finds a barrier on the page: WCAG 2.2 A and AA, and what axe calls best practice. */
export async function assertAccessible(page) {
  // Through the debugger, which the Content-Security-Policy does not bind.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  assert.deepEqual(found, [], `barriers on ${page.url()}`);
}

/** Saves a screenshot in the ignored `test-results/`, and fails if the page or an open dialog is wider than the screen. */
export async function picture(page, name) {
  await mkdir(RESULTS, { recursive: true });
  await page.screenshot({ path: path.join(RESULTS, `${name}.png`) });
  const over = await page.evaluate(() => Math.max(...[document.documentElement, ...document.querySelectorAll('dialog[open]')].map((one) => one.scrollWidth - one.clientWidth)));
  assert.ok(over <= 0, `${name} is ${over} px wider than the screen`);
}

/** Waits until a condition holds. */
export async function until(what, holds) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(100)) {
    if (await holds()) return;
  }
  assert.fail(what);
}

/** Returns a portrait changed by an ffmpeg filter, as a file to upload. */
export async function changed(name, filter) {
  const options = { encoding: 'buffer', maxBuffer: 1 << 24 };
  const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', portrait(name), '-vf', filter, '-q:v', '2', '-f', 'mjpeg', '-'], options);
  return stdout;
}

/** The gray of the wall. */
const WALL = 128;

/**
 * Writes a picture of a wall, as a file for `Browser.start`. With the SVG of a QR code as the API draws it, the code is
 * in the middle.
 */
export async function wall(file, svg = '') {
  const [width, height, module] = [640, 480, 6];
  const pixels = Buffer.alloc(width * height, WALL);
  const side = Number(/viewBox="0 0 (\d+)/u.exec(svg)?.[1] ?? 0);
  const [left, top] = [width, height].map((length) => Math.round((length - side * module) / 2));
  const paint = (x, y, length, rows, value) => {
    for (let row = 0; row < rows * module; row += 1) {
      const from = (top + y * module + row) * width + left + x * module;
      pixels.fill(value, from, from + length * module);
    }
  };
  paint(0, 0, side, side, 255);
  for (const [, x, y, length] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1/gu)) paint(Number(x), Number(y), Number(length), 1, 0);
  await writeFile(file, Buffer.concat([Buffer.from(`P5 ${width} ${height} 255\n`), pixels]));
  return file;
}

async function makeFilm(photo, film, away) {
  const fit = 'scale=640:480:force_original_aspect_ratio=decrease,pad=640:480:(ow-iw)/2:(oh-ih)/2,format=yuvj420p';
  const filter = away > 0 ? `[0:v]${fit},setsar=1[face];[1:v]format=yuvj420p,setsar=1[wall];[face][wall]concat` : fit;
  const wall = ['-f', 'lavfi', '-t', String(away), '-i', `color=gray:size=640x480:rate=${RATE}`];
  const shown = ['-loop', '1', '-framerate', RATE, '-t', away > 0 ? String(away) : SECONDS, '-i', photo];
  await run('ffmpeg', ['-v', 'error', ...shown, ...(away > 0 ? wall : []), '-filter_complex', filter, '-r', RATE, '-c:v', 'mjpeg', '-q:v', '3', film]);
}

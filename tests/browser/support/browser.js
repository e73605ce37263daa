// Chromium with a fake camera that shows a portrait, and pages that fail their test on any error in the
// console or any violation of the Content-Security-Policy.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

import { ROOT, portrait } from './server.js';

const run = promisify(execFile);
const RESULTS = path.join(ROOT, 'test-results');
/** Length, seconds, and rate of the film: short, because Chromium plays it again and again. */
const SECONDS = '2';
const RATE = '10';
const DEFAULT_CHROMIUM = '/usr/bin/chromium';

/** What Chromium says about an answer that is no success; whether it was wanted is the test's to know. */
const REFUSED_REQUEST = /^Failed to load resource/u;

export class Browser {
  /**
   * Starts Chromium, with more arguments; the camera shows this portrait, with `away` in turn with so many seconds of a
   * bare wall.
   */
  static async start(shown, { away = 0, more = [] } = {}) {
    const browser = new Browser();
    browser.folder = await mkdtemp(path.join(tmpdir(), 'rollcall-film-'));
    const film = path.join(browser.folder, 'camera.mjpeg');
    await makeFilm(portrait(shown), film, away);
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

  /** A page of its own context (cookies, storage), watched for errors. */
  async page({ server, signedIn = false, ...options } = {}) {
    const context = await this.chromium.newContext({ baseURL: server?.origin, viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
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

/** Collects what goes wrong in a page, for `assertClean`. */
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

/** Fails when the page has had an error. */
export function assertClean(...pages) {
  for (const page of pages) assert.deepEqual(page.problems, [], `errors on ${page.url()}`);
}

/** Takes a picture into the ignored `test-results/`, and fails when the page is wider than the screen. */
export async function picture(page, name) {
  await mkdir(RESULTS, { recursive: true });
  await page.screenshot({ path: path.join(RESULTS, `${name}.png`) });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${name} is ${over} px wider than the screen`);
}

/** A portrait changed by one of ffmpeg's filters, as a file for an upload. */
export async function changed(name, filter) {
  const options = { encoding: 'buffer', maxBuffer: 1 << 24 };
  const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', portrait(name), '-vf', filter, '-q:v', '2', '-f', 'mjpeg', '-'], options);
  return stdout;
}

async function makeFilm(photo, film, away) {
  const fit = 'scale=640:480:force_original_aspect_ratio=decrease,pad=640:480:(ow-iw)/2:(oh-ih)/2,format=yuvj420p';
  const filter = away > 0 ? `[0:v]${fit},setsar=1[face];[1:v]format=yuvj420p,setsar=1[wall];[face][wall]concat` : fit;
  const wall = ['-f', 'lavfi', '-t', String(away), '-i', `color=gray:size=640x480:rate=${RATE}`];
  const shown = ['-loop', '1', '-framerate', RATE, '-t', away > 0 ? String(away) : SECONDS, '-i', photo];
  await run('ffmpeg', ['-v', 'error', ...shown, ...(away > 0 ? wall : []), '-filter_complex', filter, '-r', RATE, '-c:v', 'mjpeg', '-q:v', '3', film]);
}

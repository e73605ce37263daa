// What the kiosk makes of pictures alone, and whom it takes to be there: without a browser.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT } from './support/server.js';

/** A module of the pages that imports nothing. */
async function page(name) {
  const source = await readFile(path.join(ROOT, 'static/js/kiosk', name), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}

const { HEIGHT, View, WIDTH } = await page('view.js');
const { LINGER_MS, Presence } = await page('presence.js');

const WALL = 120;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** A wall with somebody in front of it, in this share of the picture. */
function scene(share = 0, { light = 0, luma = 30 } = {}) {
  const pixels = WIDTH * HEIGHT;
  return new Uint8ClampedArray(pixels).fill(WALL + light).fill(luma, 0, Math.round(pixels * share));
}

/** Looks at a scene for a time, five times a second; the time after it. */
function watch(view, from, length, picture) {
  for (let at = from; at <= from + length; at += 200) view.look(picture, at);
  return from + length;
}

/** A view that knows the wall. */
function knowing() {
  const view = new View();
  view.look(scene(), 0);
  view.learn(scene(), 0);
  return view;
}

test('a bare wall is nobody, and who comes is somebody once', () => {
  const view = knowing();
  let now = watch(view, 0, MINUTE, scene());
  assert.equal(view.occupied, false);
  assert.equal(view.somebodyNew, false);
  now = watch(view, now + 200, SECOND, scene(0.3));
  assert.equal(view.occupied, true);
  assert.ok(view.curious && view.somebodyNew);
  view.dealtWith(view.picture);
  const { visit } = view;
  // They fidget, and stay.
  now = watch(view, now, 10 * SECOND, scene(0.33));
  now = watch(view, now, 10 * SECOND, scene(0.3));
  assert.equal(view.somebodyNew, false);
  assert.equal(view.visit, visit);
  // They leave: what moved is nothing to look into.
  now = watch(view, now, 2 * SECOND, scene());
  assert.equal(view.occupied, false);
  assert.equal(view.curious, false);
  assert.notEqual(view.visit, visit);
  // They come back.
  watch(view, now, SECOND, scene(0.3));
  assert.ok(view.curious && view.somebodyNew);
});

test('somebody else who takes the place of who was dealt with is new', () => {
  const view = knowing();
  const now = watch(view, 200, SECOND, scene(0.3));
  view.dealtWith(view.picture);
  watch(view, now, SECOND, scene(0.45, { luma: 200 }));
  assert.ok(view.curious && view.somebodyNew);
});

test('a glimpse of the wall ends no visit', () => {
  const view = knowing();
  let now = watch(view, 200, SECOND, scene(0.3));
  const { visit } = view;
  now = watch(view, now + 200, SECOND, scene());
  watch(view, now + 200, SECOND, scene(0.3));
  assert.equal(view.visit, visit);
});

test('motion that nobody looked into yet is not forgotten while somebody is in view', () => {
  const view = knowing();
  const now = watch(view, 200, SECOND, scene(0.3));
  assert.ok(view.curious);
  watch(view, now, 10 * SECOND, scene(0.3));
  assert.ok(view.curious);
});

test('other light is learned when nothing moves in it', () => {
  const view = knowing();
  const now = watch(view, 200, 3 * MINUTE, scene(0, { light: 60 }));
  assert.equal(view.occupied, false);
  watch(view, now + 200, SECOND, scene(0.3, { light: 60 }));
  assert.ok(view.occupied && view.somebodyNew);
});

test('who stays in view is there, however long, and away soon after they left', () => {
  const view = knowing();
  const presence = new Presence();
  let now = watch(view, 200, SECOND, scene(0.3));
  presence.saw('ada', now, view.visit);
  for (let minute = 0; minute < 30; minute += 1) now = watch(view, now + 200, MINUTE, scene(minute % 2 ? 0.3 : 0.33));
  assert.deepEqual(presence.at(now, view.visit), ['ada']);
  now = watch(view, now, 3 * SECOND, scene());
  assert.deepEqual(presence.at(now, view.visit), []);
});

test('who never stirs is still there, and before the wall is known nothing but motion ends a visit', () => {
  const view = new View();
  const presence = new Presence();
  let now = watch(view, 0, SECOND, scene(0.3));
  presence.saw('ada', now, view.visit);
  now = watch(view, now, 7 * MINUTE, scene(0.3));
  assert.deepEqual(presence.at(now, view.visit), ['ada']);
  const other = new View();
  now = watch(other, 0, SECOND, scene(0.3));
  presence.saw('grace', now, other.visit);
  now = watch(other, now + MINUTE, SECOND, scene(0.5));
  assert.ok(other.curious && other.somebodyNew);
  assert.deepEqual(presence.at(now, other.visit), []);
});

test('who was last seen out of view is remembered for a moment, and doubt lasts as long as the visit', () => {
  const presence = new Presence();
  presence.saw('ada', 0, 1, { kind: 'in', at: 'then', name: 'Ada' });
  assert.deepEqual(presence.at(LINGER_MS, 2), ['ada']);
  assert.deepEqual(presence.at(LINGER_MS + 1, 2), []);
  presence.doubt(MINUTE, 1, false);
  assert.deepEqual(presence.at(MINUTE + LINGER_MS, 2), ['ada']);
  presence.doubt(MINUTE + 1, 2, false);
  assert.deepEqual(presence.at(2 * MINUTE, 2), [], 'another visit, and nobody knows whose face it is');
  assert.equal(presence.lastOf('ada').name, 'Ada');
});

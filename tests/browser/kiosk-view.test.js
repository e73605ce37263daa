// How the kiosk judges pictures and who is present, tested without a browser.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT } from './support/server.js';

/** Loads a page module that has no imports. */
async function page(name) {
  const source = await readFile(path.join(ROOT, 'static/js/kiosk', name), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}

const { HEIGHT, View, WIDTH } = await page('view.js');
const { LINGER_MS, Presence } = await page('presence.js');

const WALL = 120;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** A wall with a person in front of it, who covers this share of the picture. */
function scene(share = 0, { light = 0, luma = 30 } = {}) {
  const pixels = WIDTH * HEIGHT;
  return new Uint8ClampedArray(pixels).fill(WALL + light).fill(luma, 0, Math.round(pixels * share));
}

/** Looks at a scene for a while, five times a second; returns the time afterwards. */
function watch(view, from, length, picture) {
  for (let at = from; at <= from + length; at += 200) view.look(picture, at);
  return from + length;
}

/** Returns a view that knows the wall. */
function knowing() {
  const view = new View();
  view.look(scene(), 0);
  view.learn(scene(), 0);
  return view;
}

test('an empty wall is nobody, and an arriving person is new once', () => {
  const view = knowing();
  let now = watch(view, 0, MINUTE, scene());
  assert.equal(view.occupied, false);
  assert.equal(view.somebodyNew, false);
  now = watch(view, now + 200, SECOND, scene(0.3));
  assert.equal(view.occupied, true);
  assert.ok(view.curious && view.somebodyNew);
  view.dealtWith(view.picture);
  const { visit } = view;
  // The person fidgets and stays.
  now = watch(view, now, 10 * SECOND, scene(0.33));
  now = watch(view, now, 10 * SECOND, scene(0.3));
  assert.equal(view.somebodyNew, false);
  assert.equal(view.visit, visit);
  // The person leaves: this motion needs no check.
  now = watch(view, now, 2 * SECOND, scene());
  assert.equal(view.occupied, false);
  assert.equal(view.curious, false);
  assert.notEqual(view.visit, visit);
  // The person returns.
  watch(view, now, SECOND, scene(0.3));
  assert.ok(view.curious && view.somebodyNew);
});

test('another person in the same place is new', () => {
  const view = knowing();
  const now = watch(view, 200, SECOND, scene(0.3));
  view.dealtWith(view.picture);
  watch(view, now, SECOND, scene(0.45, { luma: 200 }));
  assert.ok(view.curious && view.somebodyNew);
});

test('a short view of the wall does not end a visit', () => {
  const view = knowing();
  let now = watch(view, 200, SECOND, scene(0.3));
  const { visit } = view;
  now = watch(view, now + 200, SECOND, scene());
  watch(view, now + 200, SECOND, scene(0.3));
  assert.equal(view.visit, visit);
});

test('unchecked motion is remembered while a person is in view', () => {
  const view = knowing();
  const now = watch(view, 200, SECOND, scene(0.3));
  assert.ok(view.curious);
  watch(view, now, 10 * SECOND, scene(0.3));
  assert.ok(view.curious);
});

test('the view learns new light if nothing moves in it', () => {
  const view = knowing();
  const now = watch(view, 200, 3 * MINUTE, scene(0, { light: 60 }));
  assert.equal(view.occupied, false);
  watch(view, now + 200, SECOND, scene(0.3, { light: 60 }));
  assert.ok(view.occupied && view.somebodyNew);
});

test('a person in view stays present however long, and is absent soon after leaving', () => {
  const view = knowing();
  const presence = new Presence();
  let now = watch(view, 200, SECOND, scene(0.3));
  presence.saw('ada', now, view.visit);
  for (let minute = 0; minute < 30; minute += 1) now = watch(view, now + 200, MINUTE, scene(minute % 2 ? 0.3 : 0.33));
  assert.deepEqual(presence.at(now, view.visit), ['ada']);
  now = watch(view, now, 3 * SECOND, scene());
  assert.deepEqual(presence.at(now, view.visit), []);
});

test('an unmoving person stays present, and only motion ends a visit before the wall is known', () => {
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

test('a person out of view is remembered briefly, and doubt lasts until the visit ends', () => {
  const presence = new Presence();
  presence.saw('ada', 0, 1, { kind: 'in', at: 'then', name: 'Ada' });
  assert.deepEqual(presence.at(LINGER_MS, 2), ['ada']);
  assert.deepEqual(presence.at(LINGER_MS + 1, 2), []);
  presence.doubt(MINUTE, 1, false);
  assert.deepEqual(presence.at(MINUTE + LINGER_MS, 2), ['ada']);
  presence.doubt(MINUTE + 1, 2, false);
  assert.deepEqual(presence.at(2 * MINUTE, 2), [], 'another visit with an unidentified face');
  assert.equal(presence.lastOf('ada').name, 'Ada');
});

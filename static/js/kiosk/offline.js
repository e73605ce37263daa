// A service worker that keeps the kiosk's page, for a kiosk that starts while the service is away. It never keeps answers
// of the API. Its address has the version of the service, so that each release keeps its own files.

const worker = /** @type {any} */ (globalThis);
const OURS = 'rollcall-kiosk-';
const CACHE = OURS + new URL(location.href).searchParams.get('version');
const FILES = [
  '/kiosk',
  '/static/css/base.css',
  '/static/css/components.css',
  '/static/css/kiosk.css',
  '/static/css/tokens.css',
  '/static/img/icons.svg',
  '/static/img/logo.svg',
  '/static/js/api.js',
  '/static/js/kiosk.js',
  '/static/js/kiosk/badge.js',
  '/static/js/kiosk/database.js',
  '/static/js/kiosk/delivery.js',
  '/static/js/kiosk/eyes.js',
  '/static/js/kiosk/own-face.js',
  '/static/js/kiosk/pad.js',
  '/static/js/kiosk/pairing.js',
  '/static/js/kiosk/presence.js',
  '/static/js/kiosk/qr-reader.js',
  '/static/js/kiosk/saved.js',
  '/static/js/kiosk/screen.js',
  '/static/js/kiosk/seal.js',
  '/static/js/kiosk/view.js',
  '/static/js/ui/camera.js',
  '/static/js/ui/dom.js',
  '/static/js/ui/form.js',
  '/static/js/ui/time.js',
  '/static/vendor/qr/decode.js',
  '/static/vendor/qr/index.js',
];
/** The service is away if it does not answer within this time. */
const PATIENCE_MS = 5000;
/** Then the files of the page come from the cache, all from the same release. */
const AWAY_MS = 20_000;

let awayUntil = 0;

/** @param {any} event */
worker.oninstall = (event) => event.waitUntil(keep());

/** @param {any} event */
worker.onactivate = (event) => event.waitUntil(forgetOthers());

/** @param {any} event */
worker.onfetch = (event) => {
  const { method, mode, url } = /** @type {Request} */ (event.request);
  const { origin, pathname } = new URL(url);
  if (method !== 'GET' || origin !== location.origin || !FILES.includes(pathname)) return;
  const answered = answer(event.request, pathname);
  event.respondWith(answered);
  // A page that the service answered: what is kept must not be older.
  if (mode === 'navigate') event.waitUntil(answered.then(renew).catch(() => {}));
};

async function keep() {
  await (await caches.open(CACHE)).addAll(FILES);
  await worker.skipWaiting();
}

async function renew() {
  if (Date.now() >= awayUntil) await (await caches.open(CACHE)).addAll(FILES);
}

async function forgetOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== CACHE).map((name) => caches.delete(name)));
}

/**
 * Returns a file from the service, so that no page is older than it, or the kept one.
 * @param {Request} request
 * @param {string} path
 */
async function answer(request, path) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const response = Date.now() < awayUntil ? undefined : await Promise.race([fetch(request).catch(() => undefined), late]);
  if (isOwn(response)) return response;
  const kept = await caches.match(path, { cacheName: CACHE });
  if (!kept) return response ?? Response.error();
  awayUntil = Date.now() + AWAY_MS;
  return kept;
}

/** Whether a response is a file of the service, and not a page of a proxy. @param {Response | undefined} response */
const isOwn = (response) => response?.ok && response.headers.has('Content-Security-Policy');

// The API from a page: problems (RFC 9457) become errors, a lost session leads to the sign-in page and back.

import { waitWords } from './ui/time.js';

const TIMEOUT_MS = 30_000;

/** What the server refused, with everything it said about it. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} body
   * @param {number | null} retryAfter seconds
   */
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.name = 'Problem';
    this.status = status;
    /** @type {string} */
    this.code = body.code ?? '';
    /** @type {{field: string, detail: string}[]} */
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

/** The server could not be reached, or did not answer in time. */
export class Unreachable extends Error {
  constructor() {
    super('the server cannot be reached: check the connection and try again');
    this.name = 'Unreachable';
  }
}

/**
 * @typedef {object} Options
 * @property {unknown} [json] sent as JSON
 * @property {BodyInit} [body] sent as it is
 * @property {Record<string, string | undefined>} [query]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [anonymous] a 401 is an answer like any other
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] milliseconds
 */

/**
 * One request; resolves to the parsed body, or `null` when there is none.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function request(method, path, options = {}) {
  const response = await send(method, path, options);
  if (response.status === 401 && !options.anonymous) {
    goToSignIn();
    await new Promise(() => {}); // the page is being left
  }
  return readAnswer(response);
}

/**
 * One request; resolves to the bare response.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function send(method, path, { json, body, query, headers = {}, signal, timeout = TIMEOUT_MS } = {}) {
  const url = new URL(path, location.origin);
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value) url.searchParams.set(key, value);
  }
  const init = { method, headers: { Accept: 'application/json', ...headers }, body };
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers['Content-Type'] = 'application/json';
  }
  const limit = AbortSignal.timeout(timeout);
  try {
    return await fetch(url, { ...init, signal: signal ? anySignal([signal, limit]) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
}

/**
 * The body of a response; a refusal is thrown as a `Problem`.
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function readAnswer(response) {
  const type = response.headers.get('Content-Type') ?? '';
  let body = null;
  if (response.status !== 204 && type.includes('json')) {
    try {
      body = await response.json();
    } catch {
      throw new Unreachable();
    }
  }
  if (response.ok) return body;
  throw new Problem(response.status, body ?? {}, retryAfter(response));
}

/**
 * What a `Retry-After` header says, in seconds.
 * @param {Response} response
 */
function retryAfter(response) {
  const seconds = Number.parseFloat(response.headers.get('Retry-After') ?? '');
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** @param {AbortSignal[]} signals */
function anySignal(signals) {
  if (AbortSignal.any) return AbortSignal.any(signals);
  const controller = new AbortController();
  for (const signal of signals) signal.addEventListener('abort', () => controller.abort(), { once: true });
  return controller.signal;
}

/** Leaves for the sign-in page, which comes back here afterwards. */
export function goToSignIn() {
  const here = location.pathname + location.search + location.hash;
  const next = here === '/' ? '' : `?next=${encodeURIComponent(here)}`;
  location.replace(`/sign-in${next}`);
}

/**
 * An error in words for a person.
 * @param {unknown} error
 * @returns {string}
 */
export function explain(error) {
  if (error instanceof Problem) {
    const told = error.message.includes('try again in ');
    const wait = !told && error.retryAfter && (error.status === 429 || error.status === 503) ? `, try again in ${waitWords(error.retryAfter)}` : '';
    return error.message + wait;
  }
  if (error instanceof Unreachable) return error.message;
  console.error(error);
  return 'something went wrong on this page: reload it and try again';
}

export const get = (/** @type {string} */ path, /** @type {Options} */ options) => request('GET', path, options);
export const post = (/** @type {string} */ path, /** @type {unknown} */ json) => request('POST', path, { json });
export const patch = (/** @type {string} */ path, /** @type {unknown} */ json) => request('PATCH', path, { json });
export const remove = (/** @type {string} */ path) => request('DELETE', path);

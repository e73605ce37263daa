// The API client of the pages. Problems (RFC 9457) become errors; a lost session leads to the sign-in page and back. If
// the service wants to know again who the person is, a dialog asks for a proof, and the request is repeated.

import { waitWords } from './ui/time.js';

const TIMEOUT_MS = 30_000;

/** @typedef {{field: string, code?: string, params?: Record<string, any> | null, detail: string}} FieldProblem what is wrong with a field */

/**
 * A problem's JSON, with what some kinds of it add.
 * @typedef {Omit<Partial<ApiSchema<'ProblemView'>>, 'errors'> & {errors?: FieldProblem[], photos?: ApiSchema<'PhotoView'>[], other?: {id: string, name: string, code: string}}} ProblemBody
 */

/** A request that the server refused, with the body of its answer. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {ProblemBody} body
   * @param {number | null} retryAfter seconds
   */
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.name = 'Problem';
    this.status = status;
    this.code = body.code ?? '';
    /** @type {FieldProblem[]} */
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

/** An error whose message is for people. */
export class Explained extends Error {}

/** The server could not be reached, or did not answer in time. */
export class Unreachable extends Explained {
  constructor(words = 'the server cannot be reached: check the connection and try again') {
    super(words);
    this.name = 'Unreachable';
  }
}

/** What follows when a change got no answer. */
const MAY_BE_MADE = 'The change may have been made: check before you try again';

/** Checks whether the same request can succeed later. @param {unknown} error */
export const isTemporary = (error) => error instanceof Unreachable || (error instanceof Problem && (error.status >= 500 || error.status === 429));

/**
 * @typedef {object} Options
 * @property {unknown} [json] a body to send as JSON
 * @property {BodyInit} [body] a body to send unchanged
 * @property {Record<string, string | null | undefined>} [query]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [anonymous] whether a 401 is thrown like any other problem
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] milliseconds
 */

/** Where an account sets up the second factor that its role needs. */
const SET_UP = '/account';

/**
 * Sends a request and returns the parsed body, or `null` if there is none.
 * @template {ApiMethod} Method
 * @template {ApiTarget<Method>} Target
 * @param {Method} method
 * @param {Target} path
 * @param {Options} [options]
 * @returns {Promise<ApiAnswer<Method, Target>>}
 */
export async function request(method, path, options = {}) {
  const response = await send(method, path, options);
  if (response.status === 401 && !options.anonymous) {
    goToSignIn();
    await new Promise(() => {}); // the page is being left
  }
  try {
    const answer = await readAnswer(response, isChange(method, options));
    signedIn ||= !options.anonymous;
    return /** @type {ApiAnswer<Method, Target>} */ (answer);
  } catch (error) {
    if (!(error instanceof Problem) || options.anonymous) throw error;
    if (error.code === 'second_factor_required' && location.pathname !== SET_UP) {
      location.replace(SET_UP);
      await new Promise(() => {}); // the page is being left
    }
    if (error.code !== 'confirmation_required') throw error;
    await confirmPerson(error);
    return /** @type {ApiAnswer<Method, Target>} */ (await readAnswer(await send(method, path, options), isChange(method, options)));
  }
}

/**
 * Asks the person to prove again who they are.
 * @param {Problem} problem
 * @throws {Problem} if they do not
 */
async function confirmPerson({ status, body }) {
  const { confirmed } = await import('./ui/confirm.js');
  if (!(await confirmed())) throw new Problem(status, { ...body, detail: 'nothing was changed, because you did not confirm that it is you' }, null);
}

/**
 * Sends a request and returns the response.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function send(method, path, { json, body, query, headers = {}, anonymous, signal, timeout = TIMEOUT_MS } = {}) {
  const url = new URL(path, location.origin);
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value) url.searchParams.set(key, value);
  }
  /** @type {RequestInit & {headers: Record<string, string>}} */
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
    throw new Unreachable(isChange(method, { anonymous }) ? `the server ${limit.aborted ? 'did not answer in time' : 'cannot be reached'}. ${MAY_BE_MADE}` : undefined);
  }
}

/** Checks whether a request changes what an account has. @param {string} method @param {Options} options */
const isChange = (method, { anonymous }) => method !== 'GET' && !anonymous;

/**
 * Returns the body of a response: JSON, or a file.
 * @param {Response} response
 * @param {boolean} [change] whether the request was one to change something
 * @returns {Promise<unknown>}
 * @throws {Problem} if the server refused the request
 */
export async function readAnswer(response, change = false) {
  const type = response.headers.get('Content-Type') ?? '';
  let body = null;
  try {
    if (response.status !== 204 && type.includes('json')) body = await response.json();
    else if (response.ok && /^(?:image\/|application\/octet-stream)/u.test(type)) body = await response.blob();
  } catch {
    throw new Unreachable(change ? `the answer of the server broke off. ${MAY_BE_MADE}` : undefined);
  }
  if (response.ok) return body;
  throw new Problem(response.status, body ?? {}, retryAfter(response));
}

/**
 * Returns the `Retry-After` header in seconds.
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

/** Whether this page was signed in before. */
let signedIn = false;

/** Goes to the sign-in page, which says that the session ended, and returns here afterwards. */
export function goToSignIn() {
  const here = location.pathname + location.search + location.hash;
  const query = new URLSearchParams({ ...(here !== '/' && { next: here }), ...(signedIn && { ended: 'true' }) }).toString();
  location.replace(`/sign-in${query && `?${query}`}`);
}

/**
 * Returns an error message for people.
 * @param {unknown} error
 * @returns {string}
 */
export function explain(error) {
  if (error instanceof Problem) {
    const stated = error.message.includes('try again in ');
    const wait = !stated && error.retryAfter && (error.status === 429 || error.status === 503) ? `, try again in ${waitWords(error.retryAfter)}` : '';
    return error.message + wait;
  }
  if (error instanceof Explained) return error.message;
  console.error(error);
  return 'something went wrong on this page: reload it and try again';
}

/** @type {<Target extends ApiTarget<'GET'>>(path: Target, options?: Options) => Promise<ApiAnswer<'GET', Target>>} */
export const get = (path, options) => request('GET', path, options);
/**
 * Reads all pages of a list.
 * @template {ApiTarget<'GET'>} Target
 * @param {Target} path
 * @param {Record<string, string | null | undefined>} [query]
 * @returns {Promise<ApiAnswer<'GET', Target> extends {items: (infer Item)[]} ? Item[] : never>}
 */
export async function getAll(path, query = {}) {
  const items = [];
  /** @type {string | null | undefined} */
  let cursor;
  do {
    const page = /** @type {{items: any[], next?: string | null}} */ (await get(path, { query: { limit: '200', ...query, cursor } }));
    items.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return /** @type {any} */ (items);
}

/** @type {<Target extends ApiTarget<'POST'>>(path: Target, json: ApiBody<'POST', Target>) => Promise<ApiAnswer<'POST', Target>>} */
export const post = (path, json) => request('POST', path, { json });
/** @type {<Target extends ApiTarget<'PATCH'>>(path: Target, json: ApiBody<'PATCH', Target>) => Promise<ApiAnswer<'PATCH', Target>>} */
export const patch = (path, json) => request('PATCH', path, { json });
/** @type {<Target extends ApiTarget<'PUT'>>(path: Target, json: ApiBody<'PUT', Target>) => Promise<ApiAnswer<'PUT', Target>>} */
export const put = (path, json) => request('PUT', path, { json });
/** @type {<Target extends ApiTarget<'DELETE'>>(path: Target) => Promise<ApiAnswer<'DELETE', Target>>} */
export const remove = (path) => request('DELETE', path);

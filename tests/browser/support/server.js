// A real service for the tests, with its own data folder and a free port, which tests can stop and start again; and a
// small client that prepares data before a test opens a page.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const ADMIN = { name: 'Ada Admin', email: 'ada@example.org', password: 'twelve quiet herons' };

export const BINARY = path.resolve(ROOT, process.env.ROLLCALL_TEST_BINARY ?? 'target/debug/rollcall');
const READY_MS = 180_000;
const STOP_MS = 60_000;
/** How many ports were tried. */
let ports = 0;

/** Returns the path of a fixture portrait. */
export const portrait = (name) => path.join(ROOT, 'tests/fixtures/faces', `${name}.jpg`);

export class Server {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  #output = '';
  #cookie = '';

  /** Starts a service with these environment variables in addition to the defaults of the tests. */
  static async start(env = {}) {
    const server = new Server();
    server.data = await mkdtemp(path.join(tmpdir(), 'rollcall-browser-'));
    server.port = await freePort();
    server.origin = `${env.TLS_CERT ? 'https' : 'http'}://localhost:${server.port}`;
    server.env = { ENROLL_LIMIT: '1000', RATE_LIMIT: '0', ENGINE_THREADS: '1', TIME_ZONE: 'UTC', REPLAY_WINDOW: 'off', ...(env.SMTP_URL && { MAIL_FROM: 'rollcall@example.org', PUBLIC_URL: server.origin }), ...env };
    await server.resume();
    return server;
  }

  /** Starts a service with an admin, and signs in. */
  static async startWithAdmin(env = {}) {
    const server = await Server.start({ ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password, ...env });
    await server.signIn();
    return server;
  }

  /** Starts the service again with the same port and data. */
  async resume() {
    const { PATH, HOME, TMPDIR, ORT_DYLIB_PATH, STATIC_DIR } = process.env;
    const inherited = Object.fromEntries(Object.entries({ PATH, HOME, TMPDIR, ORT_DYLIB_PATH, STATIC_DIR }).filter(([, value]) => value));
    this.#output = '';
    this.#process = spawn(BINARY, ['serve'], {
      cwd: ROOT,
      env: { ...inherited, HOST: '127.0.0.1', PORT: String(this.port), DATA_DIR: this.data, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const failed = once(this.#process, 'error').then(([error]) => {
      throw new Error(`${BINARY} does not start: ${error.message} (build it with cargo build)`);
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream.on('data', (chunk) => (this.#output += chunk));
    await Promise.race([this.#ready(), failed]);
  }

  async #ready() {
    const until = Date.now() + READY_MS;
    while (Date.now() < until) {
      if (this.#process.exitCode !== null) throw new Error(`the service ended while starting:\n${this.#output}`);
      const ready = await fetch(`${this.origin}/readyz`).then(
        (response) => response.ok,
        () => false,
      );
      if (ready) return;
      await sleep(100);
    }
    throw new Error(`the service is not ready after ${READY_MS} ms:\n${this.#output}`);
  }

  /** The set-up link that the first start printed. */
  get setupLink() {
    const found = /\/setup#[^\s"]+/u.exec(this.#output)?.[0];
    if (!found) throw new Error(`no set-up link was printed:\n${this.#output}`);
    return this.origin + found;
  }

  async stop() {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const inTime = await Promise.race([ended.then(() => true), sleep(STOP_MS, false, { ref: false })]);
    if (inTime) return;
    this.#process.kill('SIGKILL');
    await ended;
    throw new Error(`the service did not stop in ${STOP_MS} ms:\n${this.#output}`);
  }

  /** Stops the service and deletes its data. */
  async end() {
    try {
      await this.stop();
    } finally {
      await rm(this.data, { recursive: true, force: true });
    }
  }

  /* A client */

  async #ask(method, url, body) {
    const json = body !== undefined && !(body instanceof FormData);
    const response = await fetch(this.origin + url, {
      method,
      headers: { cookie: this.#cookie, ...(json && { 'content-type': 'application/json' }) },
      body: json ? JSON.stringify(body) : body,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`);
    // There are others, such as the one by which an account knows a browser.
    const cookie = response.headers.getSetCookie().find((one) => /^(?:__Host-)?rollcall_session=/u.test(one));
    if (cookie) this.#cookie = cookie.split(';')[0];
    return text === '' ? null : JSON.parse(text);
  }

  signIn = ({ email, password } = ADMIN) => this.#ask('POST', '/api/session', { email, password });

  /** The session's cookie in Playwright's format. */
  get cookie() {
    const [name, value] = this.#cookie.split('=');
    return { name, value, url: this.origin };
  }

  /** Returns the first items of a list. */
  list = async (url) => (await this.#ask('GET', url)).items;
  /** Sends any request; returns the JSON of the answer. */
  ask = (method, url, body) => this.#ask(method, url, body);

  /** Adds an account, as an operator does on the server; returns a client that is signed in as it. */
  async addAccount({ email, password = ADMIN.password, name = email, role, code, site }) {
    const options = ['--name', name, '--role', role, ...(code ? ['--employee', code] : []), ...(site ? ['--site', site] : []), '--password-stdin'];
    const { PATH, HOME } = process.env;
    const command = spawn(BINARY, ['admin', 'add', email, ...options], { cwd: ROOT, env: { PATH, HOME, DATA_DIR: this.data, ...this.env }, stdio: ['pipe', 'ignore', 'pipe'] });
    let output = '';
    command.stderr.on('data', (chunk) => (output += chunk));
    command.stdin.end(password);
    const [status] = await once(command, 'close');
    if (status !== 0) throw new Error(`no account was added:\n${output}`);
    return this.clientOf({ email, password });
  }

  /** Returns another client of this service, signed in as an account. */
  async clientOf(account) {
    const client = new Server();
    client.origin = this.origin;
    await client.signIn(account);
    return client;
  }

  addEmployee = (name, code, site) => this.#ask('POST', '/api/employees', { name, code, site });

  async enroll(employee, ...portraits) {
    const form = new FormData();
    form.append('employee', employee.id);
    form.append('consent', 'true');
    for (const name of portraits) form.append('photo', new Blob([await readFile(portrait(name))], { type: 'image/jpeg' }), 'photo.jpg');
    return this.#ask('POST', '/api/enroll', form);
  }

  /** Adds and enrolls a person. */
  async addFace(name, code, ...portraits) {
    const employee = await this.addEmployee(name, code);
    await this.enroll(employee, ...portraits);
    return employee;
  }

  /** Sets the PIN of an employee. */
  setPin = ({ id }, pin) => this.#ask('PUT', `/api/employees/${id}/pin`, { pin });

  /** Issues a badge to an employee; returns its code and pictures. */
  issueBadge = ({ id }) => this.#ask('POST', `/api/employees/${id}/badge`);

  addSite = (name, zone) => this.#ask('POST', '/api/sites', { name, zone });

  sites = async () => (await this.#ask('GET', '/api/sites')).items;

  site = (id) => this.#ask('GET', `/api/sites/${id}`);

  changeSite = (id, change) => this.#ask('PATCH', `/api/sites/${id}`, change);

  addDevice = (name, site) => this.#ask('POST', '/api/devices', { name, site });

  revokeDevice = ({ id }) => this.#ask('DELETE', `/api/devices/${id}`);

  /** Punches at a device with a portrait; returns the answer. */
  async punch({ token }, name) {
    const response = await fetch(`${this.origin}/api/punches`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'image/jpeg' },
      body: await readFile(portrait(name)),
    });
    return response.json();
  }

  /** Writes a punch for now by hand. */
  punchByHand = (employee, kind, reason) => this.#ask('POST', '/api/punches/manual', { employee: employee.id, kind, reason });

  unknownFaces = async () => (await this.#ask('GET', '/api/unknown-faces')).items;

  punches = async () => (await this.#ask('GET', '/api/punches')).items;

  /** Makes a correction of an employee's punches. */
  correct = (employee, correction) => this.#ask('POST', `/api/employees/${employee.id}/corrections`, { reason: 'Forgotten', ...correction });

  /** Returns one workday of an employee. */
  workday = async (employee, day) => (await this.#ask('GET', `/api/employees/${employee.id}/days?from=${day}&to=${day}`)).days[0];

  /** Returns the timesheet of an employee that begins on a date. */
  timesheet = (employee, from) => this.#ask('GET', `/api/timesheets/${employee.id}:${from}`);

  addLeaveKind = (name) => this.#ask('POST', '/api/leave-kinds', { name, paid: true });

  leaveOf = async (employee) => (await this.#ask('GET', `/api/leave?employee=${employee.id}`)).items;

  /** Sets the rules of a site from a date on. */
  async setRules(site, from, { preset = 'default', ...more } = {}) {
    const { rules } = (await this.#ask('GET', '/api/rule-presets')).items.find(({ name }) => name === preset);
    await this.#ask('PUT', `/api/sites/${site}/rules/${from}`, { rules, period: 'month', four_eyes: false, ...more });
  }

  /** Plans the same shift for every day from a date on. */
  async plan(employee, from, shift) {
    const { site } = employee;
    const { id } = await this.#ask('POST', '/api/shifts', { site, flexible: false, ...shift });
    const cycle = await this.#ask('POST', '/api/cycles', { site, name: shift.name, starts: from, shifts: [id] });
    await this.#ask('POST', '/api/assignments', { employees: [employee.id], cycle: cycle.id, from });
  }
}

async function freePort() {
  // Ports that the system gives to nobody who asks for any port, so that they stay free until the service listens, and
  // while it is stopped. Processes that run at the same time begin at different places.
  const port = 20_000 + ((process.pid * 97 + ports++) % 12_000);
  const listener = createServer();
  const free = new Promise((resolve) => listener.once('listening', () => resolve(true)).once('error', () => resolve(false)));
  listener.listen(port, '127.0.0.1');
  if (!(await free)) return freePort();
  listener.close();
  await once(listener, 'close');
  return port;
}

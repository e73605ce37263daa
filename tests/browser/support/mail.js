// A mail server that keeps the letters that it gets.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { until } from './browser.js';
import { ROOT } from './server.js';

export class MailServer {
  letters = [];
  url = '';
  #process;

  /** Starts a server on a free port. */
  static async start() {
    const server = new MailServer();
    const script = path.join(ROOT, 'tests/servers/node/smtp.mjs');
    server.#process = spawn(process.execPath, [script, '0'], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(server.#process.stdout).on('line', (line) => {
      const { port, ...letter } = JSON.parse(line);
      if (port) server.url = `smtp://127.0.0.1:${port}`;
      else server.letters.push(letter);
    });
    await until('the mail server starts', () => server.url);
    return server;
  }

  /** Waits for a letter with this subject to an address, and returns it. */
  async letter(to, subject) {
    const find = () => this.letters.find((one) => one.recipients.includes(to) && one.subject === subject);
    await until(`a letter about “${subject}” arrives`, find);
    return find();
  }

  /** It ends when its standard input closes. */
  end = () => this.#process.stdin.end();
}

// An identity provider (OpenID Connect) that signs in whom the test names, without asking.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import path from 'node:path';

import { ROOT } from './server.js';

export class IdentityProvider {
  id = 'rollcall';
  secret = 'a secret of the test that is long enough';
  issuer = '';
  #process;

  /** Starts a provider on a free port. */
  static async start() {
    const provider = new IdentityProvider();
    const script = path.join(ROOT, 'tests/servers/node/oidc.mjs');
    provider.#process = spawn(process.execPath, [script, '0'], { stdio: ['pipe', 'pipe', 'inherit'] });
    for await (const line of createInterface(provider.#process.stdout)) {
      provider.issuer = JSON.parse(line).issuer;
      break;
    }
    return provider;
  }

  /** Says who is signed in from now on. */
  person = (claims) => this.#process.stdin.write(`${JSON.stringify(claims)}\n`);

  /** It ends when its standard input closes. */
  end = () => this.#process.stdin.end();
}

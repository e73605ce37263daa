// An OpenID Connect provider (npm oidc-provider) that signs in whom the test names, without asking. The first line of
// its output is JSON with its port and its address. It ends when its standard input closes. Each line of its input is
// JSON: the person who is signed in from now on: { sub, email, email_verified, name, groups }.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// The provider would print what one that is not for tests should do differently.
console.info = console.warn = () => {};
const { default: Provider } = await import('oidc-provider');

const [port, algorithm = 'RS256'] = process.argv.slice(2);
const server = createServer();
await new Promise((resolve) => server.listen(Number(port), '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

let person = { sub: 'nobody' };
const people = new Map();

const clients = [
  {
    client_id: 'rollcall',
    client_secret: 'a secret of the test that is long enough',
    // The service listens on a port that is free when it starts.
    redirect_uris: ['http://127.0.0.1:1/api/session/oidc/callback'],
    id_token_signed_response_alg: algorithm,
  },
];

const keys = {
  RS256: { kty: 'RSA', name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
  ES256: { kty: 'EC', name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { kty: 'OKP', name: 'Ed25519' },
};
const { privateKey } = await crypto.subtle.generateKey(keys[algorithm], true, ['sign', 'verify']);
const jwk = { ...(await crypto.subtle.exportKey('jwk', privateKey)), use: 'sig', kid: 'test', alg: algorithm };
delete jwk.key_ops;
delete jwk.ext;

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [jwk] },
  enabledJWA: { idTokenSigningAlgValues: [algorithm] },
  cookies: { keys: ['a key of the test'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  scopes: ['openid', 'email', 'profile', 'groups'],
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => people.get(sub) ?? { sub } }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
});
provider.Client.prototype.redirectUriAllowed = (uri) => new URL(uri).pathname === '/api/session/oidc/callback';

const handle = provider.callback();
server.on('request', async (request, response) => {
  try {
    if (!request.url.startsWith('/interaction/')) return void handle(request, response);
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') return void (await provider.interactionFinished(request, response, { login: { accountId: person.sub } }));
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    const consent = { grantId: await grant.save() };
    await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack));
  }
});

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  person = JSON.parse(line);
  people.set(person.sub, person);
  console.log('ok');
});
input.on('close', () => process.exit(0));
console.log(JSON.stringify({ port: server.address().port, issuer }));

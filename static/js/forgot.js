// The page for people who forgot their password. It says the same whether an account has the address or not.

import { get, request } from './api.js';
import { byId } from './ui/dom.js';
import { onSubmit } from './ui/form.js';

/** What the service offers; it matters only for the last hint. */
const methods = get('/api/session/methods').catch(() => null);

onSubmit(byId('form'), async ({ email }) => {
  await request('POST', '/api/password-resets', { json: { email }, anonymous: true });
  const oidc = (await methods)?.oidc;
  byId('form').hidden = true;
  byId('title').textContent = 'Check your email';
  byId('lead').textContent = 'If an account has this address, an email with a link is on its way. The link works for 24 hours.';
  byId('hint').textContent = `No email after a few minutes? Check your spam folder, or ask an admin for a link.${oidc ? ` An account that signs in only with ${oidc.name} has no password, and gets no email.` : ''}`;
  byId('title').focus();
});

// The sign-in page: email and password in, a session cookie out, then back to where one wanted to go.

import { get, request } from './api.js';
import { byId } from './ui/dom.js';
import { onSubmit } from './ui/form.js';

/** The address to go to: only ever one of this site. */
function next() {
  const wanted = new URLSearchParams(location.search).get('next') ?? '/';
  try {
    const url = new URL(wanted, location.origin);
    if (url.origin === location.origin && !url.pathname.startsWith('/sign-in')) return url.pathname + url.search + url.hash;
  } catch {
    // not an address at all
  }
  return '/';
}

onSubmit(byId('form'), async ({ email, password }) => {
  await request('POST', '/api/session', { json: { email, password }, anonymous: true });
  location.replace(next());
});

get('/api/setup').then(
  ({ needed }) => (byId('needs-setup').hidden = !needed),
  () => {}, // signing in will say what is wrong
);

// The sign-in page: signs in with email and password, then returns to the page that was requested.

import { get, request } from './api.js';
import { byId } from './ui/dom.js';
import { onSubmit } from './ui/form.js';

/** Returns the address to go to, which is always on this site. */
function next() {
  const wanted = new URLSearchParams(location.search).get('next') ?? '/';
  try {
    const url = new URL(wanted, location.origin);
    if (url.origin === location.origin && !url.pathname.startsWith('/sign-in')) return url.pathname + url.search + url.hash;
  } catch {
    // not a valid address
  }
  return '/';
}

onSubmit(byId('form'), async ({ email, password }) => {
  await request('POST', '/api/session', { json: { email, password }, anonymous: true });
  location.replace(next());
});

get('/api/setup').then(
  ({ needed }) => (byId('needs-setup').hidden = !needed),
  () => {}, // the sign-in form shows the error
);

// The set-up page: creates the first admin with the one-time token from the printed link.

import { Problem, explain, get, request } from './api.js';
import { byId } from './ui/dom.js';
import { onSubmit, sentence } from './ui/form.js';

const token = location.hash.slice(1);
history.replaceState(null, '', location.pathname);

const field = byId('token-field');
const input = byId('token');
input.value = token;
field.hidden = token !== '';

function alreadySetUp() {
  byId('form').hidden = true;
  byId('done').hidden = false;
}

byId('show-password').addEventListener('click', () => {
  const shown = byId('password').type === 'password';
  byId('password').type = shown ? 'text' : 'password';
  byId('show-word').textContent = shown ? 'Hide' : 'Show';
});

onSubmit(byId('form'), async ({ token: typed, name, email, password }) => {
  try {
    await request('POST', '/api/setup', { json: { token: typed.trim().replace(/^.*#/u, ''), name, email, password }, anonymous: true });
    // Where the admin can say when a workday begins and which rules to begin with.
    location.replace('/welcome');
  } catch (error) {
    if (error instanceof Problem && error.code === 'already_set_up') return alreadySetUp();
    if (error instanceof Problem && error.code === 'bad_setup_token') field.hidden = false;
    throw error;
  }
});

try {
  const { needed } = await get('/api/setup');
  if (!needed) alreadySetUp();
} catch (error) {
  byId('state').textContent = sentence(explain(error));
  byId('state').hidden = false;
}

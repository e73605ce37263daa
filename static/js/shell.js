// Starts the page of this address: the module `pages/NAME.js` exports it as `Page`.

import { notice } from './ui/dom.js';

// After a sign-in with an identity provider: to the page that was requested before.
const wanted = location.pathname === '/' && sessionStorage.getItem('rollcall:next');
sessionStorage.removeItem('rollcall:next');
if (wanted && wanted !== '/') {
  location.replace(wanted);
  await new Promise(() => {}); // the page is being left
}

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const name = location.pathname.replaceAll('/', '') || 'index';
try {
  const [{ html, render }, { Page }] = await Promise.all([import('./kit/html.js'), import(`./pages/${name}.js`)]);
  render(html`<${Page} />`, main);
} catch (error) {
  console.error(error);
  main.replaceChildren(notice('bad', 'This page cannot start, because a part of it did not load. Reload it. If that does not help, an admin finds the reason in the log of the service.'));
}

// Short messages at the foot of the page that disappear automatically; screen readers read them.

import { el } from './dom.js';

const SHOWN_MS = 4500;

/** @type {HTMLElement | undefined} */
let region;

/**
 * Shows a message for a few seconds.
 * @param {string} text
 */
export function toast(text) {
  if (!region) {
    region = el('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
    document.body.append(region);
  }
  // An open modal dialog covers everything outside it, so the region moves into the topmost one.
  const host = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
  if (region.parentElement !== host) host.append(region);
  const message = el('p', { class: 'toast', text });
  region.append(message);
  setTimeout(() => message.remove(), SHOWN_MS);
}

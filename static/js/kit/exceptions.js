// The exceptions of a day as badges.

import { Badge } from './basics.js';
import { html } from './html.js';
import { BLOCKING, EXCEPTIONS, SHORT_EXCEPTIONS } from './words.js';

/** @param {{codes: string[]}} props */
export const Exceptions = ({ codes }) =>
  html`<span class="badges">${codes.map((code) => html`<${Badge} key=${code} tone=${BLOCKING.has(code) ? 'bad' : 'warn'} title=${EXCEPTIONS[code] ?? code}>${SHORT_EXCEPTIONS[code] ?? code}<//>`)}</span>`;

// The field for a time zone, which offers those that the browser knows.

import { Field } from './form.js';
import { html } from './html.js';

/** Browsers that cannot list time zones let people type one. */
const ZONES = [...new Set(['UTC', ...(Intl.supportedValuesOf?.('timeZone') ?? [])])];

/** The time zone of this browser. */
export const ownZone = () => new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Its properties are those of a `Field`. @param {{name: string, label: string, [other: string]: unknown}} props */
export const ZoneField = (props) => html`
  <${Field} list="zones" maxlength="64" autocapitalize="off" spellcheck="false" placeholder="Europe/Berlin" invalid="Choose a time zone such as Europe/Berlin" ...${props} />
  <datalist id="zones">${ZONES.map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>
`;

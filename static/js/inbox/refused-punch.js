// A punch that a kiosk saved and the service did not accept: a manager adds it for the person, or dismisses it.

import { getAll, request } from '../api.js';
import { Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form, fieldProblem } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { KINDS } from '../kit/words.js';
import { adjusting } from '../person/corrections.js';
import { loadSites } from '../ui/sites.js';
import { dateTime } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'RefusedPunchView'>} RefusedPunch */

const LONGEST_REASON = 500;
/** @type {Record<string, string>} */
const HOW = { face: 'face', pin: 'PIN', badge: 'badge' };
/** Why it was not accepted. @type {Record<string, string>} */
const WHY = {
  nobody: 'the face was not recognized',
  no_face: 'there was no face in the picture',
  poor_quality: 'the picture was not clear enough',
  attack: 'the picture did not show a live person',
  wrong_pin: 'the number or the PIN was wrong',
  pin_locked: 'the PIN was locked',
  unknown_badge: 'the badge is not valid',
  pin_needed: 'a PIN or badge was needed as well',
  face_needed: 'the face was needed as well',
  unreadable: 'the kiosk cannot read it anymore',
  failed: 'the service failed at it',
  refused: 'the service refused it',
};

/** @param {{id: string, close: () => void, reload: () => Promise<void>}} props */
export function RefusedPunchDialog({ id, close, reload }) {
  const read = async () => {
    const [waiting, sites] = await Promise.all([getAll('/api/refused-punches'), loadSites()]);
    const punch = waiting.find((one) => one.id === id);
    return punch ? { punch, zone: sites.find((one) => one.id === punch.site)?.zone } : null;
  };
  const known = useLoad(read, [id]);
  return html`
    <${Dialog} title="A punch that was not accepted" onClose=${close}>
      <${Show} of=${known}>${(/** @type {Awaited<ReturnType<typeof read>>} */ found) => (found ? html`<${Decision} ...${found} close=${close} reload=${reload} />` : html`<${Notice} kind="bad">Another account was faster: this is decided.<//>`)}<//>
    <//>
  `;
}

/** @param {{punch: RefusedPunch, zone?: string, close: () => void, reload: () => Promise<void>}} props `zone` is that of the kiosk's site */
function Decision({ punch, zone, close, reload }) {
  const { id, at, how, reason: why, site, device_name: device, employee, name, code, picture } = punch;
  /** @param {Record<string, string>} data */
  const add = async ({ code: typed, kind, reason }) => {
    const other = typed.trim();
    const person = employee && !other ? employee : await personOf(other, site);
    const made = await adjusting((adjust) => request('POST', `/api/refused-punches/${id}/add`, { json: { employee: person, kind, reason, adjust } }));
    if (!made) return;
    await finish(made.state === 'approved' ? 'The punch is added' : 'Requested. The punch counts when another person has approved it.');
  };
  const finish = async (/** @type {string} */ words) => {
    toast(words);
    close();
    await reload();
  };
  const dismiss = async () => {
    await request('POST', `/api/refused-punches/${id}/dismiss`);
    await finish('Dismissed');
  };
  return html`
    <p>${dateTime(at, zone)} at ${device}, by ${HOW[how] ?? how}. It was saved while the service was unavailable, and not accepted afterwards: ${WHY[why] ?? why}.</p>
    ${picture && html`<img class="refused-picture" src=${`/api/unknown-faces/${encodeURIComponent(picture)}/picture`} alt="The person at the kiosk" width="160" height="160" />`}
    <${Form} send=${add} action="Add the punch" cancel=${close}>
      ${
        employee
          ? html`<${Field} name="code" label="Staff number of another person" optional=${true} maxlength="64" hint=${`The number of ${name} was typed, which does not prove who it was: ask them.`} />`
          : html`<${Field} name="code" label="Staff number" value=${code ?? ''} maxlength="64" hint=${code ? 'Nobody has the number that was typed.' : 'Whose punch it is.'} invalid="Type a staff number" />`
      }
      <${Field} name="kind" label="Kind" options=${Object.entries(KINDS)} value="in" />
      <${Field} name="reason" label="Reason" maxlength=${LONGEST_REASON} value=${`Not accepted at the kiosk: ${WHY[why] ?? why}`} invalid="Say why" />
    <//>
    <${Dismissal} dismiss=${dismiss} />
  `;
}

/** @param {{dismiss: () => Promise<void>}} props */
const Dismissal = ({ dismiss }) => html`
  <div class="section">
    <p class="soft small">If it is no punch of an employee, dismiss it. That stays on record.</p>
    <${Form} send=${dismiss} action="Dismiss" danger=${true} />
  </div>
`;

/**
 * Returns who has a staff number at a site.
 * @param {string} code
 * @param {string} site
 */
async function personOf(code, site) {
  const items = await getAll('/api/employees', { q: code });
  const same = items.filter((one) => one.code.toUpperCase() === code.toUpperCase());
  const person = same.find((one) => one.site === site) ?? same[0];
  if (!person) throw fieldProblem('code', 'nobody has this staff number');
  return person.id;
}

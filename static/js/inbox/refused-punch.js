// The dialog about a saved punch that was refused: a manager says whose it was and adds it, or dismisses it.

import { getAll, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Notice } from '../kit/basics.js';
import { Dialog } from '../kit/dialog.js';
import { Field, Form } from '../kit/form.js';
import { html } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { KINDS } from '../kit/words.js';
import { toast } from '../ui/toast.js';
import { dateTime } from '../ui/time.js';

/** @typedef {ApiSchema<'RefusedPunchView'>} RefusedPunch */

/** Why it was refused. @type {Record<string, string>} */
const REASONS = {
  nobody: 'the face was not recognized',
  no_face: 'no face was found',
  poor_quality: 'the picture was not good enough',
  attack: 'the picture did not seem to be of a live person',
  wrong_pin: 'the number or the PIN was wrong',
  pin_locked: 'the PIN was locked',
  unknown_badge: 'the badge was not valid',
  pin_needed: 'the site asks for a PIN or badge, too',
  face_needed: 'the site asks for the face, too',
  unreadable: 'the kiosk could not read what it had saved',
  failed: 'the service failed at it',
  refused: 'the service did not accept it',
};

/** What the person punched with. @type {Record<string, string>} */
const MEANS = { face: 'With the face', pin: 'With number and PIN', badge: 'With a badge' };

/** @param {{id: string, onClose: () => void}} props */
export function RefusedPunchDialog({ id, onClose }) {
  const loaded = useLoad(async () => {
    const [refused, people] = await Promise.all([getAll('/api/refused-punches', {}), getAll('/api/employees', {})]);
    return { refused: refused.find((one) => one.id === id), people };
  }, [id]);
  return html`
    <${Dialog} title="A punch that was refused" onClose=${onClose}>
      <${Show} of=${loaded}>${(/** @type {{refused?: RefusedPunch, people: ApiSchema<'EmployeeView'>[]}} */ { refused, people }) =>
        refused ? html`<${Decision} refused=${refused} people=${people} onClose=${onClose} />` : html`<${Notice} kind="bad">Another person has decided about it.<//>`}
      <//>
    <//>
  `;
}

/** @param {{refused: RefusedPunch, people: ApiSchema<'EmployeeView'>[], onClose: () => void}} props */
function Decision({ refused, people, onClose }) {
  const { id, at, how, reason, device_name: kiosk, code, name, picture } = refused;
  const typed = name ? ` The number of ${name} was typed, which proves nothing.` : code ? ` The number ${code} was typed, which no one has.` : '';
  const options = people.map((person) => [person.id, `${person.name} (${person.code})`]);
  const send = async (/** @type {Record<string, string>} */ { employee, kind, reason: why }) => {
    await request('POST', `/api/refused-punches/${id}/add`, { json: { employee, kind, reason: why } });
    toast('The punch was added as a correction');
    onClose();
  };
  const { act, trouble } = useActions(async () => {});
  const dismiss = act(async () => {
    await request('POST', `/api/refused-punches/${id}/dismiss`);
    toast('Dismissed');
    onClose();
  });
  return html`
    <p>${dateTime(at)}, ${kiosk}. ${MEANS[how] ?? how}: ${REASONS[reason] ?? reason}.${typed}</p>
    ${picture && html`<p><img src=${`/api/unknown-faces/${picture}/picture`} alt="The person at the kiosk" width="160" /></p>`}
    <${Form} send=${send} action="Add the punch" cancel=${dismiss} cancelText="Dismiss">
      <${Field} name="employee" label="Whose punch it was" options=${[['', 'Choose'], ...options]} value=${refused.employee ?? ''} />
      <${Field} name="kind" label="Kind" options=${Object.entries(KINDS)} />
      <${Field} name="reason" label="Reason" value="Punched while the kiosk was offline" maxlength="500" />
    <//>
    ${trouble}
  `;
}

// What Rollcall has of the person: their face with the consent, PIN and badge, a copy of everything, and the wish to be erased.

import { Problem, get, remove, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button } from '../kit/basics.js';
import { Field, Form } from '../kit/form.js';
import { html, useState } from '../kit/html.js';
import { Show, useLoad } from '../kit/load.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { dateName } from '../ui/time.js';
import { toast } from '../ui/toast.js';

/** @typedef {ApiSchema<'MeView'>} Me */
/** @typedef {ApiSchema<'OwnConsentView'>} OwnConsent */
/** @typedef {ApiSchema<'TemplatesView'>} Faces */
/** @typedef {{me: Me, consent: OwnConsent, faces: Faces}} Known */

const read = async () => {
  const [me, consent, faces] = await Promise.all([get('/api/me'), get('/api/me/consent'), get('/api/me/faces')]);
  return { me, consent, faces };
};

export function MyData() {
  const known = useLoad(read, []);
  return html`
    <${Show} of=${known}>
      ${(/** @type {Known} */ { me, consent, faces }) => html`
        <${Face} consent=${consent} faces=${faces} reload=${known.reload} />
        <${Credentials} me=${me} reload=${known.reload} />
        <${Copy} />
        <${Erasure} requested=${me.employee.erasure_requested_at} reload=${known.reload} />
      `}
    <//>
  `;
}

/** How the consent was given. @type {Record<string, string>} */
const GIVEN = { stated: 'stated by the person who enrolled you', invitation: 'given by you with a link', kiosk: 'given by you at a kiosk', sheet: 'signed on paper' };

/** @param {{consent: OwnConsent, faces: Faces, reload: () => Promise<void>}} props */
function Face({ consent: { consent, agreed_text: agreedText, text, version }, faces, reload }) {
  const { act, trouble } = useActions(reload);
  const withdraw = act(async () => {
    const question = { title: 'Withdraw your consent?', text: 'Your face, the photos and the pictures of your punches are deleted at once and for good. Kiosks no longer recognize you: punch with your PIN or badge, or ask your manager. Your hours stay.', action: 'Withdraw' };
    if (!(await ask(question))) return false;
    await remove('/api/me/consent');
  }, 'Your consent is withdrawn, and your face is deleted');
  const enrolled = faces.items.length > 0;
  return html`
    <section class="card pad" aria-labelledby="my-face">
      <div class="section-head"><h2 id="my-face">Face</h2>${enrolled ? html`<${Badge} tone="in">Enrolled<//>` : html`<${Badge}>No face<//>`}</div>
      ${trouble}
      ${
        enrolled || consent
          ? html`
              <p class="soft">${consent ? `You agreed on ${dateName(consent.signed_on ?? consent.at)}${GIVEN[consent.given] ? ` (${GIVEN[consent.given]})` : ''}.` : 'Kiosks recognize you.'} Rollcall keeps ${plural(faces.items.length, 'template')}${faces.photos ? ` and ${plural(faces.photos, 'photo')}` : ''}.</p>
              <details class="small"><summary>${agreedText ? 'What you agreed to' : 'What people agree to now'}</summary>${!agreedText && html`<p>You agreed to an earlier text, version ${consent?.text}, which is not on record. This is the present one, version ${version}.</p>`}<p>${agreedText ?? text}</p></details>
              <div class="actions"><${Button} tone="danger" onClick=${withdraw}>Withdraw and delete my face<//></div>
            `
          : html`<p class="soft">Kiosks do not recognize you. Ask your manager for a link, with which you enroll your face on your own phone.</p>`
      }
    </section>
  `;
}

/** @param {{me: Me, reload: () => Promise<void>}} props */
function Credentials({ me: { credentials }, reload }) {
  const { pin, badge } = credentials;
  // A new form is empty.
  const [changes, setChanges] = useState(0);
  const { act, trouble } = useActions(reload);
  const send = async (/** @type {Record<string, string>} */ data) => {
    await request('PUT', '/api/me/pin', { json: { pin: data.pin } });
    setChanges(changes + 1);
    await reload();
    toast('Your PIN was set');
  };
  const lost = act(async () => {
    if (!(await ask({ title: 'Revoke your badge?', text: 'It stops working at once. Your manager gives you a new one.', action: 'Revoke the badge' }))) return false;
    await remove('/api/me/badge');
  }, 'Your badge was revoked');
  return html`
    <section class="card pad" aria-labelledby="my-pin">
      <div class="section-head"><h2 id="my-pin">PIN and badge</h2>${pin?.locked_at && html`<${Badge} tone="bad">PIN locked<//>`}</div>
      <p class="soft">With them you punch at a kiosk without your face. ${pin ? (pin.locked_at ? 'Your PIN was wrong five times in a row. It stays locked until your manager unlocks it, or until you set a new one here.' : `You set your PIN on ${dateName(pin.set_at)}.`) : 'You have no PIN.'}</p>
      <${Form} key=${changes} send=${send} action=${pin ? 'Change the PIN' : 'Set the PIN'}>
        <${Field} name="pin" label="New PIN" type="password" inputmode="numeric" autocomplete="off" pattern="[0-9]*" maxlength="12" invalid="Type digits only" hint="Do not use a birthday or a sequence such as 1234." />
      <//>
      ${trouble}
      ${badge && html`<div class="section"><p class="soft">Your badge was issued on ${dateName(badge.issued_at)}.</p><div class="actions"><${Button} tone="danger" onClick=${lost}>I lost my badge<//></div></div>`}
    </section>
  `;
}

/**
 * Returns a picture as a `data:` address; null if it is deleted or unreadable.
 * @param {string} path
 * @returns {Promise<string | null>}
 */
async function dataUrl(path) {
  /** @type {Blob} */
  let file;
  try {
    file = await get(/** @type {any} */ (path));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function Copy() {
  const { act, trouble } = useActions(async () => {});
  const save = act(async () => {
    const copy = await get('/api/me/export', { timeout: 120_000 });
    // The addresses end with the session: the copy contains the pictures themselves.
    /** @type {{file: string | null}[]} */
    const files = [copy.records.photos, copy.records.pictures].flatMap((/** @type {any} */ records) => records ?? []);
    for (const record of files) record.file = await dataUrl(/** @type {string} */ (record.file));
    const address = URL.createObjectURL(new Blob([JSON.stringify(copy, null, 2)], { type: 'application/json' }));
    Object.assign(document.createElement('a'), { href: address, download: `rollcall-${copy.at.slice(0, 10)}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address));
    const missing = files.filter(({ file }) => file === null).length;
    toast(missing > 0 ? `The copy was saved without ${plural(missing, 'picture')} that ${missing === 1 ? 'is' : 'are'} deleted or unreadable` : 'The copy was saved');
  });
  return html`
    <section class="card pad" aria-labelledby="my-copy">
      <h2 id="my-copy">A copy of my data</h2>
      <p class="soft">Download everything that Rollcall stores about you, also your face templates and photos. They are not encrypted in the file: keep it safe.</p>
      ${trouble}
      <div class="actions"><${Button} onClick=${save}>Save a copy<//></div>
    </section>
  `;
}

/** @param {{requested?: string | null, reload: () => Promise<void>}} props */
function Erasure({ requested, reload }) {
  const { act, trouble } = useActions(reload);
  const demand = act(async () => {
    const question = { title: 'Ask to be erased?', text: 'Your managers see the request, and an admin decides when to erase your data. Hours that must be kept by law may be kept until then. You can withdraw the request.', action: 'Ask to be erased' };
    if (!(await ask(question))) return false;
    await request('POST', '/api/me/erasure-request');
  }, 'Your request was recorded');
  const takeBack = act(() => remove('/api/me/erasure-request'), 'Your request was withdrawn');
  return html`
    <section class="card pad" aria-labelledby="my-erasure">
      <h2 id="my-erasure">Erase my data</h2>
      <p class="soft">${requested ? `On ${dateName(requested)} you asked for all your data to be erased. An admin decides about it.` : 'You can ask for all your data to be erased, for example after you leave.'}</p>
      ${trouble}
      <div class="actions">${requested ? html`<${Button} onClick=${takeBack}>Withdraw the request<//>` : html`<${Button} tone="danger" onClick=${demand}>Ask to be erased<//>`}</div>
    </section>
  `;
}

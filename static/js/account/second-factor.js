// The second step of signing in: an app that shows codes, passkeys, and recovery codes.

import { get, remove, request } from '../api.js';
import { useActions } from '../kit/actions.js';
import { Badge, Button } from '../kit/basics.js';
import { html, useState } from '../kit/html.js';
import { ask } from '../ui/dialog.js';
import { plural } from '../ui/dom.js';
import { dateName } from '../ui/time.js';
import { AppDialog } from './app.js';
import { Passkeys } from './passkeys.js';
import { RecoveryCodesDialog } from './recovery-codes.js';

/** @typedef {ApiSchema<'SecondFactorsView'>} Factors */

/** With fewer recovery codes than this, new ones are advised. */
const FEW = 3;

/** Reads what the account has. @returns {Promise<Factors>} */
export const readSecondFactor = () => get('/api/account/second-factor');

/** @param {{account: ApiSchema<'AccountView'>, factors: Factors, reload: () => Promise<void>}} props */
export function SecondFactor({ account, factors, reload }) {
  const { totp, recovery_codes: left, passkeys, required } = factors;
  const [adding, setAdding] = useState(false);
  const [codes, setCodes] = useState(/** @type {string[] | undefined} */ (undefined));
  const { act, trouble } = useActions(reload);
  const has = Boolean(totp) || passkeys.length > 0;
  const last = Number(Boolean(totp)) + passkeys.length === 1;

  const added = async (/** @type {string[] | null | undefined} */ fresh) => {
    setAdding(false);
    // They are not shown again, so the page changes only after they were closed.
    if (fresh) setCodes(fresh);
    else await reload();
  };
  const kept = () => {
    setCodes(undefined);
    reload();
  };
  const removeApp = act(async () => {
    const sure = await ask({
      title: 'Remove the app?',
      text: last ? 'It is your only second step. Without it, your password alone signs you in, and your recovery codes stop working.' : 'Its codes stop working at once. Your passkeys stay.',
      action: 'Remove the app',
    });
    if (!sure) return false;
    await remove('/api/account/totp');
  }, 'The app was removed');
  const renew = act(async () => {
    const sure = await ask({ title: 'Generate new recovery codes?', text: 'The codes that you have now stop working.', action: 'Generate new codes' });
    if (!sure) return;
    const { recovery_codes: fresh } = await request('POST', '/api/account/recovery-codes');
    setCodes(fresh);
  });

  return html`
    <section class="card pad" aria-labelledby="second-factor">
      <div class="section-head">
        <h2 id="second-factor">Second step</h2>
        ${has ? html`<${Badge} tone="in">On<//>` : html`<${Badge} tone=${required ? 'bad' : ''}>Off<//>`}
      </div>
      <p class="soft">After the password, Rollcall asks for something that only you have. With a second step, a stolen password alone is not enough to sign in. A change here signs you out in all other browsers.${required && ' Your role needs a second step.'}</p>
      ${trouble}
      <div class="section">
        <div class="section-head"><h3>App that shows codes</h3>${totp && html`<span class="soft small">Added ${dateName(totp)}</span>`}</div>
        <p class="small soft">An authenticator app on your phone, such as Google Authenticator, Aegis or 1Password.</p>
        <div class="actions">
          <button class=${`button ${has ? '' : 'primary'}`} type="button" onClick=${() => setAdding(true)}>${totp ? 'Change the app' : 'Add an app'}</button>
          ${totp && !(required && last) && html`<${Button} tone="danger" onClick=${removeApp}>Remove the app<//>`}
        </div>
      </div>
      ${(account.has_password || passkeys.length > 0) && html`<${Passkeys} passkeys=${passkeys} required=${required} last=${last} added=${added} act=${act} />`}
      ${
        has &&
        html`<div class="section">
          <div class="section-head"><h3>Recovery codes</h3><${Badge} tone=${left < FEW ? 'warn' : ''}>${left === 0 ? 'None left' : `${plural(left, 'code')} left`}<//></div>
          <p class="small soft">Each signs you in once when your phone is lost. Keep them on paper or in a password manager.</p>
          <div class="actions"><${Button} onClick=${renew}>Generate new codes<//></div>
        </div>`
      }
      ${adding && html`<${AppDialog} added=${added} close=${() => setAdding(false)} />`}
      ${codes && html`<${RecoveryCodesDialog} email=${account.email} codes=${codes} close=${kept} />`}
    </section>
  `;
}

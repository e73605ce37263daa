// The name by which pages address the person.

import { patch } from '../api.js';
import { Field, Form } from '../kit/form.js';
import { html } from '../kit/html.js';
import { toast } from '../ui/toast.js';

/** @param {{account: ApiSchema<'AccountView'>}} props */
export function Profile({ account: { name, employee_name: employee } }) {
  const send = async (/** @type {Record<string, string>} */ data) => {
    const { account } = await patch('/api/account', { name: (data.name ?? '').trim() });
    const shown = document.querySelector('.who-name');
    if (shown) shown.textContent = account.name;
    toast('Your name was saved');
  };
  return html`
    <section class="card pad" aria-labelledby="profile">
      <h2 id="profile">Name</h2>
      <${Form} send=${send} action="Save the name">
        <${Field} name="name" label="Your name" value=${name} maxlength="120" autocomplete="name" invalid="Type your name" hint=${employee ? `Pages address you by it. Timesheets have the name on your record: ${employee}.` : 'Pages address you by it.'} />
      <//>
    </section>
  `;
}

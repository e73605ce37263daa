// Shifts: when work begins and ends.

import { getAll, patch, post } from '../api.js';
import { Dialog } from '../kit/dialog.js';
import { useFeed } from '../kit/feed.js';
import { Check, Field, Form, useDraft } from '../kit/form.js';
import { html } from '../kit/html.js';
import { hoursLength, minutesLength, typedHours, typedMinutes } from '../kit/lengths.js';
import { Show, useLoad } from '../kit/load.js';
import { Entries, siteField, sitePrefix, usualSite } from './entries.js';
import { shiftTone, shiftWords } from './words.js';

/** @typedef {ApiSchema<'ShiftView'>} Shift */

/** @param {import('./entries.js').PartProps} props */
export function Shifts({ sites, can }) {
  const list = useLoad(() => getAll('/api/shifts'), []);
  useFeed(['plan'], list.reload);
  return html`<${Show} of=${list}>
    ${(/** @type {Shift[]} */ items) => html`
      <${Entries}
        one="shift"
        many="shifts"
        about="A shift says when work of a day begins and ends. Cycles and assignments are made of shifts."
        items=${items}
        may=${can.edit}
        note=${(/** @type {Shift} */ shift) => sitePrefix(sites, shift.site) + shiftWords(shift)}
        side=${(/** @type {Shift} */ shift) => html`<span class=${`badge ${shiftTone(shift)}`}>${shift.from}</span>`}
        address=${(/** @type {string} */ id) => `/api/shifts/${id}`}
        loss="Days that were planned with it stay as they are. A shift that a cycle has cannot be removed."
        reload=${list.reload}
        form=${(/** @type {Shift | null} */ shift, /** @type {(name: string) => Promise<void>} */ done, /** @type {() => void} */ close) => html`<${ShiftDialog} key=${shift?.id ?? 'new'} shift=${shift} sites=${sites} done=${done} close=${close} />`}
      />
    `}
  <//>`;
}

/** @param {{shift: Shift | null, sites: ApiSchema<'SiteView'>[], done: (name: string) => Promise<void>, close: () => void}} props */
function ShiftDialog({ shift, sites, done, close }) {
  const { draft, bind, tick } = useDraft({
    site: shift?.site ?? usualSite(sites),
    name: shift?.name ?? '',
    from: shift?.from ?? '08:00',
    to: (shift?.to ?? '16:30').replace('24:00', '00:00'),
    flexible: shift?.flexible ?? false,
    unpaid_break: typedMinutes(shift?.unpaid_break ?? '30m'),
    work: typedHours(shift?.work ?? '8h'),
  });
  const { flexible } = draft;
  const settings = {
    site: draft.site,
    name: draft.name.trim(),
    from: draft.from,
    to: draft.to,
    flexible,
    unpaid_break: flexible ? '0s' : minutesLength(draft.unpaid_break || '0'),
    work: flexible ? hoursLength(draft.work) : null,
  };
  const send = async () => {
    await (shift ? patch(`/api/shifts/${shift.id}`, settings) : post('/api/shifts', settings));
    await done(settings.name);
  };
  return html`
    <${Dialog} title=${shift ? 'Change the shift' : 'Add a shift'} onClose=${close}>
      <${Form} send=${send} action=${shift ? 'Save' : 'Add'} cancel=${close}>
        <${Field} label="Name" maxlength="64" placeholder="Early" invalid="Type a name" ...${bind('name')} />
        ${sites.length > 1 && html`<${Field} ...${siteField({ sites, bind })} />`}
        <div class="two">
          <${Field} label="Starts" type="time" invalid="Type a time such as 08:00" ...${bind('from')} />
          <${Field} label="Ends" type="time" invalid="Type a time such as 16:30" hint="On the next day, if it is not later than the start." ...${bind('to')} />
        </div>
        <${Check} label="Flexible hours" hint="People work at any time between start and end, and are never late." ...${tick('flexible')} />
        ${
          flexible
            ? html`<${Field} label="Hours of work" key="work" inputmode="decimal" invalid="Type hours such as 7:30" hint="For example 8 or 7:30." ...${bind('work')} />`
            : html`<${Field} label="Unpaid break in minutes" key="break" optional inputmode="numeric" hint="How much of the shift is a break, at no certain time. Leave it empty if there is none, or if it is paid." ...${bind('unpaid_break')} />`
        }
        <p class="preview" role="status">${shiftWords(settings)}</p>
      <//>
    <//>
  `;
}

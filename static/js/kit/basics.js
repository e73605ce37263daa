// The small parts of which pages are made.

import { initials } from '../ui/dom.js';
import { addressWith, setParameters } from './address.js';
import { html, useEffect, useRef } from './html.js';

/** @typedef {import('./html.js').Children} Children */

/**
 * The head of a page, with its title.
 * @param {{title: string, lead?: Children, actions?: Children}} props
 */
export function PageHead({ title, lead, actions }) {
  useEffect(() => {
    document.title = `${title} · Rollcall`;
  }, [title]);
  return html`<div class="page-head"><div><h1>${title}</h1>${lead && html`<div class="soft">${lead}</div>`}</div>${actions && html`<div class="actions">${actions}</div>`}</div>`;
}

/** A decorative icon from `img/icons.svg`. @param {{name: string}} props */
export const Icon = ({ name }) => html`<svg class="icon" aria-hidden="true"><use href=${`/static/img/icons.svg#${name}`} /></svg>`;

/** A circle with a person's initials. @param {{name: string}} props */
export const Avatar = ({ name }) => html`<span class="avatar" aria-hidden="true">${initials(name)}</span>`;

/**
 * A notice; `kind` is `info`, `good`, `warn` or `bad`. With `reveal` it scrolls into view, for an answer to a button that
 * can be far away from it.
 * @param {{kind: string, reveal?: boolean, children?: Children}} props
 */
export function Notice({ kind, reveal = false, children }) {
  const name = kind === 'good' ? 'check' : kind === 'warn' || kind === 'bad' ? 'alert' : 'info';
  return html`<div ref=${reveal ? intoView : undefined} class=${`notice ${kind}`} role=${kind === 'bad' ? 'alert' : 'status'}><${Icon} name=${name} /><div>${children}</div></div>`;
}

/** @param {HTMLElement | null} element */
const intoView = (element) => element?.scrollIntoView({ block: 'nearest' });

/**
 * What a card shows when there is nothing to list.
 * @param {{children?: Children}} props
 */
export const Empty = ({ children }) => html`<div class="empty">${children}</div>`;

/**
 * A short word with a color; `tone` is `in`, `out`, `warn`, `bad` or nothing.
 * @param {{tone?: string, title?: string, children?: Children}} props
 */
export const Badge = ({ tone = '', title, children }) => html`<span class=${`badge ${tone}`} title=${title}>${children}</span>`;

/**
 * A button, busy while the work that it starts runs.
 * @param {{onClick: () => unknown, tone?: string, label?: string, disabled?: boolean, children?: Children}} props
 */
export function Button({ onClick, tone = '', label, disabled, children }) {
  const wanted = useRef(disabled);
  wanted.current = disabled;
  const press = async (/** @type {Event} */ event) => {
    const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
    const focused = document.activeElement === button;
    button.setAttribute('aria-busy', 'true');
    button.disabled = true;
    try {
      await onClick();
    } finally {
      button.disabled = Boolean(wanted.current);
      button.removeAttribute('aria-busy');
      // A disabled button loses the focus, and a dialog cannot return it to one.
      if (focused && document.activeElement === document.body) button.focus({ preventScroll: true });
    }
  };
  return html`<button class=${`button ${tone}`} type="button" aria-label=${label} disabled=${disabled} onClick=${press}>${children}</button>`;
}

/**
 * A link to this page with other parameters, which does not load the page again. Other properties are those of `<a>`.
 * @param {{to: Record<string, string>, children?: Children, [other: string]: unknown}} props
 */
export function Link({ to, children, ...rest }) {
  const follow = (/** @type {MouseEvent} */ event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setParameters(to);
  };
  return html`<a href=${addressWith(to)} onClick=${follow} ...${rest}>${children}</a>`;
}

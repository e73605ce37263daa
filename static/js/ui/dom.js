// Small helpers to build and change the page. Text from data goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Makes an element. `props` are attributes, but for `class`, `text`, `dataset` and listeners
 * (`onclick: fn`); `true` makes a bare attribute; `false`, `null` and `undefined` leave it out.
 * @param {string} tag
 * @param {Record<string, unknown>} [props]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === false || value == null) continue;
    if (key === 'class') node.className = String(value);
    else if (key === 'text') node.textContent = String(value);
    else if (key === 'dataset') Object.assign(node.dataset, value);
    else if (key.startsWith('on')) node.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child || child === ''));
  return node;
}

/**
 * An icon of `img/icons.svg`, decorative.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `/static/img/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/**
 * The element with this id, which the page's own HTML is known to hold.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id} on this page`);
  return found;
}

/**
 * Up to two letters for somebody's name.
 * @param {string} name
 */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ''].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toLocaleUpperCase();
}

/**
 * A round with somebody's initials.
 * @param {string} name
 */
export function avatar(name) {
  return el('span', { class: 'avatar', 'aria-hidden': 'true', text: initials(name) });
}

/**
 * A notice: `kind` is `info`, `good`, `warn` or `bad`.
 * @param {string} kind
 * @param {...(Node | string | null)} content
 */
export function notice(kind, ...content) {
  const name = { good: 'check', warn: 'alert', bad: 'alert' }[kind] ?? 'info';
  return el('div', { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : 'status' }, icon(name), el('div', {}, ...content));
}

/**
 * "1 photo", "3 photos".
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// Small helpers to build and change the page. Data becomes text, never markup.

const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {Node | string | null | undefined | false} Child a child of an element, or none */

/**
 * Creates an element. `props` are attributes, except `class`, `text`, `dataset` and listeners (`onclick: fn`);
 * `true` sets an attribute without a value; `false`, `null` and `undefined` omit it.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
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
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/**
 * Creates a decorative icon from `img/icons.svg`.
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
 * Returns the element with this ID, which must be in the page's HTML.
 * @template {keyof PageElements} Id
 * @param {Id} id
 * @returns {PageElements[Id]}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id} on this page`);
  return /** @type {PageElements[Id]} */ (found);
}

/**
 * Returns up to two letters for a person's name.
 * @param {string} name
 */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ''].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toLocaleUpperCase();
}

/**
 * Creates a circle with a person's initials.
 * @param {string} name
 */
export function avatar(name) {
  return el('span', { class: 'avatar', 'aria-hidden': 'true', text: initials(name) });
}

/**
 * Creates a notice; `kind` is `info`, `good`, `warn` or `bad`.
 * @param {string} kind
 * @param {...Child} content
 */
export function notice(kind, ...content) {
  const name = kind === 'good' ? 'check' : kind === 'warn' || kind === 'bad' ? 'alert' : 'info';
  return el('div', { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : 'status' }, icon(name), el('div', {}, ...content));
}

/**
 * Returns "1 photo" or "3 photos".
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

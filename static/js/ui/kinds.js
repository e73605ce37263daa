// The kinds of punches, each with a word and a color.

import { el } from './dom.js';

/** @type {Record<string, {word: string, tone: string}>} */
const KINDS = {
  in: { word: 'In', tone: 'in' },
  out: { word: 'Out', tone: 'out' },
  break_start: { word: 'Break', tone: 'warn' },
  break_end: { word: 'Back', tone: 'in' },
};

/** @param {string} kind */
export function kindBadge(kind) {
  const { word, tone } = KINDS[kind];
  return el('span', { class: `badge ${tone}`, text: word });
}

// Prints a type for each element of the pages that has an ID, so that `byId` knows what it returns.
//
//   node tools/js/elements.js PAGE.html...

import { readFileSync } from 'node:fs';

/** @type {Map<string, Set<string>>} */
const tags = new Map();
for (const page of process.argv.slice(2)) {
  for (const [, tag, id] of readFileSync(page, 'utf8').matchAll(/<([a-z][\w-]*)[^>]*?\sid="([^"]+)"/gu)) {
    tags.set(id, (tags.get(id) ?? new Set()).add(tag));
  }
}
console.log('interface PageElements {');
for (const [id, names] of tags) {
  console.log(`  '${id}': ${[...names].map((name) => `HTMLElementTagNameMap['${name}']`).join(' & ')};`);
}
console.log('}');

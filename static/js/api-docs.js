// Draws the API reference from /api/openapi.json: operations by tag, parameters, bodies, responses, curl examples.

import { explain, get } from './api.js';
import { byId, el, notice } from './ui/dom.js';
import { sentence } from './ui/form.js';

const METHODS = /** @type {const} */ (['get', 'post', 'put', 'patch', 'delete']);
/** @type {Record<string, string>} */
const EXAMPLES = { uuid: '0193f0a2-6c1e-7cc0-9d5e-5d3f6a1b2c3d', 'date-time': '2026-11-21T08:01:07.512Z', email: 'ana@example.org' };
/** Recursive schemas are drawn to this depth. */
const DEEPEST = 6;

/** @type {OpenApiDocument} */
let api;

/**
 * Follows a `$ref` inside the document.
 * @template {OpenApiReference} Node
 * @param {Node | undefined} node
 * @returns {Node | undefined}
 */
function resolve(node) {
  if (!node?.$ref) return node;
  /** @type {unknown} */
  let target = api;
  for (const part of node.$ref.slice(2).split('/')) {
    target = /** @type {Record<string, unknown> | undefined} */ (target)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return resolve(/** @type {Node | undefined} */ (target));
}

/** Turns text into paragraphs, with `code` between backquotes. */
function prose(/** @type {string | undefined} */ text) {
  if (!text) return [];
  return text.split(/\n\s*\n/u).map((paragraph) => el('p', { class: 'soft' }, ...inline(paragraph)));
}

/** @param {string} text */
function inline(text) {
  return text.split('`').map((part, index) => (index % 2 ? el('code', { text: part }) : part));
}

/** Lists all operations of the document, in its order. */
function operations() {
  const found = [];
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS) {
      const operation = item[method];
      if (!operation) continue;
      const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((parameter) => resolve(parameter) ?? parameter);
      found.push({ path, method, operation, parameters, id: `${method}-${path.replaceAll(/[^a-z0-9]+/giu, '-').replaceAll(/^-|-$/gu, '')}` });
    }
  }
  return found;
}

/**
 * @param {OpenApiSchema | undefined} schema
 * @returns {string}
 */
function typeName(schema) {
  const resolved = resolve(schema) ?? {};
  const several = resolved.oneOf ?? resolved.anyOf;
  if (several) return [...new Set(several.map(typeName))].join(' or ');
  if ('const' in resolved) return JSON.stringify(resolved.const);
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(' | ');
  const types = [resolved.type ?? (resolved.properties || resolved.allOf ? 'object' : 'any')].flat();
  const named = types.map((type) => (type === 'array' ? `array of ${typeName(resolved.items)}` : type)).join(' or ');
  return resolved.format ? `${named} (${resolved.format})` : named;
}

/**
 * Lists the fields of a schema as rows: name with its path, type, description.
 * @param {OpenApiSchema | undefined} schema
 * @param {string} [prefix]
 * @param {number} [depth]
 * @returns {{name: string, type: string, required: boolean, description: string}[]}
 */
function fields(schema, prefix = '', depth = 0) {
  const resolved = resolve(schema) ?? {};
  if (depth > DEEPEST) return [];
  const parts = [...(resolved.allOf ?? []), ...(resolved.oneOf ?? []), ...(resolved.anyOf ?? [])];
  const inherited = parts.flatMap((part) => fields(part, prefix, depth + 1));
  if (resolved.items) return [...inherited, ...fields(resolved.items, `${prefix}[]`, depth + 1)];
  const own = Object.entries(resolved.properties ?? {}).flatMap(([key, value]) => {
    const name = prefix ? `${prefix}.${key}` : key;
    const about = resolve(value) ?? {};
    return [
      { name, type: typeName(value), required: (resolved.required ?? []).includes(key), description: value.description ?? about.description ?? '' },
      ...fields(value, name, depth + 1),
    ];
  });
  return [...inherited, ...own];
}

/**
 * @param {string} caption
 * @param {{name: string, type: string, required: boolean, description: string}[]} rows
 */
function table(caption, rows) {
  const head = ['Name', 'Type', 'Description'].map((text) => el('th', { scope: 'col', text }));
  const body = rows.map(({ name, type, required, description }) =>
    el('tr', {}, el('td', { class: 'name', text: name }), el('td', { text: type }), el('td', {}, ...inline([required ? 'required' : '', description].filter(Boolean).join(': ')))),
  );
  return el(
    'div',
    { class: 'table-wrap', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', { class: 'table' }, el('caption', { class: 'visually-hidden', text: caption }), el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...body)),
  );
}

/**
 * Returns an example of a schema: the document's own, otherwise one built from the types.
 * @param {OpenApiSchema | undefined} schema
 * @param {number} [depth]
 * @returns {unknown}
 */
function example(schema, depth = 0) {
  const resolved = resolve(schema) ?? {};
  if ('example' in resolved) return resolved.example;
  if (resolved.examples?.length) return resolved.examples[0];
  if ('const' in resolved) return resolved.const;
  if (resolved.enum) return resolved.enum[0];
  if ('default' in resolved) return resolved.default;
  if (depth > DEEPEST) return null;
  if (resolved.allOf) return Object.assign({}, ...resolved.allOf.map((part) => example(part, depth + 1)));
  const several = resolved.oneOf ?? resolved.anyOf;
  if (several) return example(several[0], depth + 1);
  const type = [resolved.type].flat()[0];
  if (type === 'array') return [example(resolved.items, depth + 1)];
  if (type === 'object' || resolved.properties) {
    return Object.fromEntries(Object.entries(resolved.properties ?? {}).map(([key, value]) => [key, example(value, depth + 1)]));
  }
  if (type === 'integer' || type === 'number') return 0;
  if (type === 'boolean') return true;
  return EXAMPLES[resolved.format ?? ''] ?? 'text';
}

/**
 * Shows the request as a curl command.
 * @param {ReturnType<typeof operations>[number]} entry
 */
function curl({ path, method, operation, parameters }) {
  const lines = [`curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}${location.origin}${path.replaceAll(/\{(\w+)\}/gu, (_, name) => name.toUpperCase())}`];
  const security = (operation.security ?? api.security ?? []).flatMap((one) => Object.keys(one));
  const schemes = security.map((name) => resolve(api.components?.securitySchemes?.[name]));
  if (schemes.some((scheme) => scheme?.type === 'apiKey' && scheme.in === 'cookie')) lines.push('-b cookies.txt');
  else if (schemes.some((scheme) => scheme?.scheme === 'bearer')) lines.push("-H 'Authorization: Bearer TOKEN'");
  for (const parameter of parameters) if (parameter.in === 'header' && parameter.required) lines.push(`-H '${parameter.name}: …'`);
  const content = resolve(operation.requestBody)?.content ?? {};
  const type = ['application/json', 'multipart/form-data'].find((name) => content[name]) ?? Object.keys(content)[0];
  if (type === 'application/json') {
    lines.push("-H 'Content-Type: application/json'");
    const sample = content[type].example ?? Object.values(content[type].examples ?? {})[0]?.value ?? example(content[type].schema);
    lines.push(`-d '${JSON.stringify(sample)}'`);
  } else if (type === 'multipart/form-data') {
    for (const { name, type: kind } of fields(content[type].schema).filter((field) => field.required)) {
      lines.push(`-F ${name.replace('[]', '')}=${/binary|array/u.test(kind) ? '@photo.jpg' : '…'}`);
    }
  } else if (type) {
    lines.push(`-H 'Content-Type: ${type}'`, '--data-binary @photo.jpg');
  }
  return el('pre', { class: 'code', tabindex: '0', 'aria-label': 'curl example' }, el('code', { text: lines.join(' \\\n  ') }));
}

/** @param {OpenApiOperation} operation */
function requestBody(operation) {
  const body = resolve(operation.requestBody);
  return Object.entries(body?.content ?? {}).flatMap(([type, media]) => {
    const rows = fields(media.schema);
    return [el('h4', {}, 'Accepts ', el('code', { text: type })), rows.length > 0 && table(`Fields of ${type}`, rows)];
  });
}

/** @param {OpenApiOperation} operation */
function responses(operation) {
  return Object.entries(operation.responses ?? {}).map(([status, reference]) => {
    const response = resolve(reference) ?? {};
    const media = Object.values(response.content ?? {})[0];
    const rows = media ? fields(media.schema) : [];
    const summary = [el('code', { text: status }), ' ', ...inline(response.description ?? '')];
    if (rows.length === 0) return el('p', {}, ...summary);
    return el('details', { class: 'fold' }, el('summary', {}, ...summary), table(`Fields of ${status}`, rows));
  });
}

/** @param {ReturnType<typeof operations>[number]} entry */
function section(entry) {
  const { id, path, method, operation, parameters } = entry;
  const rows = parameters.map((parameter) => ({
    name: parameter.name,
    type: `${typeName(parameter.schema)}, ${parameter.in}`,
    required: parameter.required ?? false,
    description: parameter.description ?? '',
  }));
  return el(
    'article',
    { class: 'card operation', id },
    el('h3', { class: 'operation-line' }, el('span', { class: `verb ${method}`, text: method.toUpperCase() }), path),
    operation.summary && el('p', {}, ...inline(sentence(operation.summary))),
    ...prose(operation.description),
    rows.length > 0 && table('Parameters', rows),
    ...requestBody(operation),
    el('div', { class: 'section' }, el('h4', { text: 'Responses' }), ...responses(operation)),
    curl(entry),
  );
}

/** Lists the problem codes from `x-problems`: `{code, status, title}`. */
function problems() {
  const listed = api['x-problems'];
  if (!listed?.length) return null;
  const rows = listed.map((problem) =>
    el(
      'tr',
      { id: `problem-${problem.code}` },
      el('td', { class: 'name', text: problem.code }),
      el('td', { text: problem.status }),
      el('td', { text: problem.title }),
    ),
  );
  const head = ['Code', 'Status', 'Meaning'].map((text) => el('th', { scope: 'col', text }));
  return el(
    'section',
    { class: 'tag', id: 'problems' },
    el('h2', { text: 'Problems' }),
    el('p', { class: 'soft', text: 'Errors are application/problem+json (RFC 9457). The code is stable, the detail says what to do.' }),
    el('div', { class: 'card operation' }, el('div', { class: 'table-wrap', tabindex: '0', role: 'region', 'aria-label': 'Problems' }, el('table', { class: 'table' }, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...rows)))),
  );
}

function draw() {
  const all = operations();
  const described = new Map((api.tags ?? []).map((tag) => [tag.name, tag.description]));
  const tags = new Set([...described.keys(), ...all.flatMap(({ operation }) => operation.tags ?? ['Other'])]);
  const main = byId('main');
  main.replaceChildren(el('header', { class: 'tag' }, el('h1', { text: api.info.title }), el('p', { class: 'soft number', text: `Version ${api.info.version}` }), ...prose(api.info.description)));
  for (const tag of tags) {
    const members = all.filter(({ operation }) => (operation.tags ?? ['Other'])[0] === tag);
    if (members.length === 0) continue;
    byId('nav').append(
      el('h2', { text: sentence(tag) }),
      el('ul', {}, ...members.map(({ id, operation, method, path }) => el('li', {}, el('a', { href: `#${id}`, title: operation.summary ?? null }, el('span', { class: `verb ${method}`, text: method.toUpperCase() }), el('span', { class: 'path', text: path }))))),
    );
    main.append(el('section', { class: 'tag' }, el('h2', { text: sentence(tag) }), ...prose(described.get(tag)), ...members.map(section)));
  }
  const codes = problems();
  if (codes) {
    main.append(codes);
    byId('nav').append(el('h2', { text: 'Problems' }), el('ul', {}, el('li', {}, el('a', { href: '#problems', text: 'All codes' }))));
  }
  main.removeAttribute('aria-busy');
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

try {
  api = await get('/api/openapi.json', { anonymous: true });
  draw();
} catch (error) {
  byId('main').replaceChildren(notice('bad', sentence(explain(error))));
}

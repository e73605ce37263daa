// Types for the JSDoc of the pages' modules: what the API takes and answers. `openapi.d.ts` is
// generated from the OpenAPI document, `elements.d.ts` from the pages.

/** A schema of the OpenAPI document. */
type ApiSchema<Name extends keyof ApiSchemas> = ApiSchemas[Name];
type ApiSchemas = import('./openapi').components['schemas'];

/** The paths of the API. The document does not describe its own. */
type ApiPaths = import('./openapi').paths & {
  '/api/openapi.json': { get: { responses: { 200: { content: { 'application/json': OpenApiDocument } } } } };
};

type ApiMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Replaces the parameters of a path: `/api/cameras/{id}` becomes `/api/cameras/${string}`. */
type ApiAddress<Path> = Path extends `${infer Before}{${string}}${infer After}` ? `${Before}${string}${ApiAddress<After>}` : Path;

/** The addresses that a method can be sent to. */
type ApiTarget<Method extends ApiMethod> = {
  [Path in keyof ApiPaths]: ApiPaths[Path] extends Record<Lowercase<Method>, object> ? ApiAddress<Path> : never;
}[keyof ApiPaths];

/** The operation of a method at an address. */
type ApiOperation<Method extends ApiMethod, Target> = {
  [Path in keyof ApiPaths]: [Target, ApiAddress<Path>] extends [ApiAddress<Path>, Target]
    ? ApiPaths[Path] extends Record<Lowercase<Method>, infer Operation> ? Operation : never
    : never;
}[keyof ApiPaths];

/** The JSON that an operation takes. */
type ApiBody<Method extends ApiMethod, Target> =
  ApiOperation<Method, Target> extends { requestBody: { content: { 'application/json': infer Body } } } ? Body : never;

/** The JSON of a successful answer; `null` if there is none. */
type ApiAnswer<Method extends ApiMethod, Target> =
  ApiOperation<Method, Target> extends { responses: infer Responses } ? ApiJson<Responses[keyof Responses & (200 | 201 | 202 | 204)]> : never;
type ApiJson<Response> = Response extends { content: { 'application/json': infer Body } } ? Body : null;

/** An item of a list that an address answers with. */
type ApiItem<Target> = ApiAnswer<'GET', Target> extends { items: (infer Item)[] } ? Item : never;

/** The OpenAPI document, as far as the page of the API shows it. */
interface OpenApiDocument {
  info: { title: string; version: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths?: Record<string, OpenApiItem>;
  components?: { securitySchemes?: Record<string, OpenApiSecurityScheme> };
  security?: Record<string, string[]>[];
  'x-problems'?: { code: string; status: number; title: string }[];
}

interface OpenApiReference {
  $ref?: string;
}

interface OpenApiItem extends Partial<Record<'get' | 'post' | 'put' | 'patch' | 'delete', OpenApiOperation>> {
  parameters?: OpenApiParameter[];
}

interface OpenApiOperation {
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: OpenApiParameter[];
  requestBody?: OpenApiReference & { content?: Record<string, OpenApiMedia> };
  responses?: Record<string, OpenApiReference & { description?: string; content?: Record<string, OpenApiMedia> }>;
  security?: Record<string, string[]>[];
}

interface OpenApiParameter extends OpenApiReference {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: OpenApiSchema;
}

interface OpenApiMedia {
  schema?: OpenApiSchema;
  example?: unknown;
  examples?: Record<string, { value?: unknown }>;
}

interface OpenApiSecurityScheme extends OpenApiReference {
  type?: string;
  in?: string;
  scheme?: string;
}

interface OpenApiSchema extends OpenApiReference {
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  items?: OpenApiSchema;
  properties?: Record<string, OpenApiSchema>;
  required?: string[];
  allOf?: OpenApiSchema[];
  oneOf?: OpenApiSchema[];
  anyOf?: OpenApiSchema[];
}

import { type Operation, parametersOf, resolve, type Schema } from '../../../spec/load.ts';
import { contract, operations } from '../../helpers/contract.ts';

type Described = Schema & { const?: unknown; format?: string; allOf?: Schema[]; required?: string[] };

export const uuid = '00000000-0000-4000-8000-000000000000';

export type Call = { method: string; path: string; operation: Operation };
/** The operations of an ordinary server, without those of a test server. */
export const calls: Call[] = operations
  .filter(({ path }) => !path.startsWith('/_test/'))
  .map((call) => ({ ...call, method: call.method.toUpperCase() }));

/** Returns a value that matches the schema, with the required members only. */
export function sampleOf(given: Schema): unknown {
  const schema = resolve<Described>(contract, given as Described);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const alternative = schema.anyOf?.[0] ?? schema.allOf?.[0];
  if (alternative) return sampleOf(alternative);
  const type = [schema.type ?? 'object'].flat()[0];
  if (type === 'string') return schema.format === 'uuid' ? uuid : schema.pattern === '^password$' ? 'password' : 'x';
  if (type === 'integer' || type === 'number') return Math.max(schema.minimum ?? 60, 1);
  if (type === 'boolean') return true;
  if (type === 'array') return [];
  const required = schema.required ?? [];
  return Object.fromEntries(required.map((name) => [name, sampleOf(schema.properties?.[name] ?? { type: 'string' })]));
}

/**
 * Returns one value of the schema for each string in it, map keys included, with the payload in
 * that string's place.
 */
export function poisoned(given: Schema, payload: string, depth = 5): unknown[] {
  const schema = resolve<Described>(contract, given as Described);
  if (depth === 0) return [];
  const alternatives = [...(schema.anyOf ?? []), ...(schema.allOf ?? [])];
  if (alternatives.length > 0) return alternatives.flatMap((each) => poisoned(each, payload, depth - 1));
  const types = [schema.type ?? 'object'].flat();
  if (types.includes('string')) return [payload];
  if (types.includes('array')) return poisoned(schema.items ?? {}, payload, depth - 1).map((value) => [value]);
  if (!types.includes('object')) return [];
  const whole = sampleOf(schema) as object;
  const members = Object.entries(schema.properties ?? {}).flatMap(([name, member]) =>
    poisoned(member, payload, depth - 1).map((value) => ({ ...whole, [name]: value })),
  );
  return schema.properties ? members : [{ [payload]: payload }];
}

/** Returns the schema and media type of the operation's body, or null if it has no body. */
export function bodyOf(operation: Operation): { type: string; schema: Schema } | null {
  const [entry] = Object.entries(operation.requestBody?.content ?? {});
  return entry ? { type: entry[0], schema: entry[1].schema } : null;
}

/** Returns the body as text, in the form of its media type. */
export function encoded(type: string, value: unknown): string {
  if (type === 'application/json') return JSON.stringify(value);
  return type === 'application/x-www-form-urlencoded' ? String(new URLSearchParams(value as never)) : String(value);
}

/** Returns the names and locations of the operation's string parameters. */
export function textParameters(operation: Operation): { name: string; place: string }[] {
  return parametersOf(contract, operation).map(({ name, in: place }) => ({ name, place }));
}

/** Returns the path with its parameters filled in. */
export function filled(path: string, value: (name: string) => string): string {
  return path.replace(/\{([^}]*)\}/g, (_, name: string) => encodeURIComponent(value(name)));
}

/** Returns a query with the operation's required parameters; empty if there are none. */
export function queryOf(operation: Operation): string {
  const required = parametersOf(contract, operation).filter(
    (parameter) => parameter.in === 'query' && parameter.required,
  );
  const pairs = required.map(({ name, schema }): [string, string] => [name, String(sampleOf(schema))]);
  return pairs.length > 0 ? `?${new URLSearchParams(pairs)}` : '';
}

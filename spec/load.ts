import { parse } from 'yaml';
import { isExecutable, readAsset, readEmbedded } from './assets.ts';
import { remembered } from './cache.ts';

/** An OpenAPI 3.1 schema object, as far as Sandpit reads it. */
export type Schema = {
  $ref?: string;
  description?: string;
  type?: string | string[];
  allOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  format?: string;
  /** Clients may send this member, but Sandpit refuses it, for this reason. */
  'x-not-offered'?: string;
  /** The status of that refusal, if it is not 501. */
  'x-not-offered-status'?: number;
};

export type Parameter = {
  name: string;
  in: string;
  required?: boolean;
  explode?: boolean;
  allowReserved?: boolean;
  schema: Schema;
  /** See Schema. */
  'x-not-offered'?: string;
  'x-not-offered-status'?: number;
};

export type Operation = {
  operationId: string;
  tags: string[];
  security?: Record<string, string[]>[];
  parameters?: (Parameter | { $ref: string })[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  /** By status; `default` is for all others. */
  responses: Record<string, unknown>;
  /**
   * The handler reads the body and checks it, because something has to be checked before, or
   * because the body may be long.
   */
  'x-reads-body'?: true;
};

/**
 * Paths that clients know and that Sandpit refuses, for one reason; `info.description` has the
 * rules.
 */
export type NotOfferedPaths = {
  /** `{name}` is one segment; `*` at the end is everything below. */
  paths: string[];
  reason: string;
  /** The methods that are refused; all if left out. */
  methods?: string[];
  /** Empty if a request needs no credential. */
  security?: [];
  /** Whose errors the paths have; InstaVM's if left out. */
  dialect?: 'e2b';
  /** Whether they are refused with records only. With machines, the paths are unknown. */
  without_machines?: true;
  /** Whether clients open WebSockets to these paths. */
  web_socket?: true;
};

/** The parsed `openapi.yaml`, typed as far as Sandpit reads it. */
export type Contract = {
  openapi: string;
  info: { title: string; version: string };
  tags: { name: string }[];
  security?: Record<string, string[]>[];
  'x-not-offered-paths': NotOfferedPaths[];
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    headers: Record<string, unknown>;
    securitySchemes: Record<string, unknown>;
  };
};

/** The text of `openapi.yaml`, byte for byte. */
export const contractText = readAsset('openapi.yaml').toString();

let parsed: Contract | undefined;

/** Returns a fresh copy of the contract; callers may change it. */
export function loadContract(): Contract {
  // Parsing YAML takes a fifth of the time to start.
  parsed ??= (
    isExecutable() ? JSON.parse(readEmbedded('openapi.json').toString()) : remembered(contractText, parse)
  ) as Contract;
  return structuredClone(parsed);
}

/** The paths of operations that only a test server has. */
const testPath = /^\/_test\//;

/**
 * Returns the contract without the operations that only a test server has, and without their tag.
 */
export function withoutTests(contract: Contract): Contract {
  const paths = Object.entries(contract.paths).filter(([path]) => !testPath.test(path));
  const tags = contract.tags.filter(({ name }) => name !== 'test');
  return { ...contract, tags, paths: Object.fromEntries(paths) };
}

/**
 * Returns the text of `openapi.yaml` without what `withoutTests` leaves out; the rest is
 * unchanged.
 */
export function textWithoutTests(): string {
  return contractText.replace(/^ {2}(?:\/_test\/.*|- name: test)\n(?: {4}.*\n)+/gm, '');
}

/**
 * Follows `value`'s `$ref`, if it has one, and returns the part of the contract that it refers to.
 * Throws an Error when there is no such part.
 */
export function resolve<T>(contract: Contract, value: T | { $ref: string }): T {
  if (!isReference(value)) return value;
  const keys = value.$ref.replace(/^#\//, '').split('/').map(unescapePointer);
  let found: unknown = contract;
  for (const key of keys) found = (found as Record<string, unknown> | undefined)?.[key];
  if (found === undefined) throw new Error(`openapi.yaml has no ${value.$ref}`);
  return resolve(contract, found as T);
}

/** Returns a copy of a part of the contract with all references replaced by their targets. */
export function withoutReferences(contract: Contract, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutReferences(contract, item));
  if (typeof value !== 'object' || value === null) return value;
  const resolved = resolve<object>(contract, value);
  return Object.fromEntries(
    Object.entries(resolved).map(([key, member]) => [key, withoutReferences(contract, member)]),
  );
}

/** Returns the operation's query and header parameters with references followed. */
export function parametersOf(contract: Contract, operation: Operation): Parameter[] {
  return (operation.parameters ?? []).map((parameter) => resolve<Parameter>(contract, parameter));
}

/** Returns every operation of the contract with its method (lower case) and path. */
export function operationsOf(contract: Contract): { method: string; path: string; operation: Operation }[] {
  return Object.entries(contract.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
}

/** Returns a JSON pointer segment as the key it stands for (RFC 6901). */
export function unescapePointer(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}

function isReference(value: unknown): value is { $ref: string } {
  return typeof value === 'object' && value !== null && '$ref' in value;
}

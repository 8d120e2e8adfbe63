import type { Request } from 'express';
import { type Contract, type Operation, parametersOf, resolve, type Schema, unescapePointer } from '../spec/load.ts';
import { parseQuery } from './query.ts';

/** One entry of FastAPI's 422 body, in pydantic v2's words (its documentation, "Validation Errors"). */
export type Problem = {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
  ctx?: Record<string, unknown>;
};

/** Returns the problem of a value that has the right shape and can't be used; the message says why. */
export function valueError(loc: (string | number)[], message: string, input: unknown): Problem {
  return { type: 'value_error', loc, msg: `Value error, ${message}`, input };
}

/** Thrown for a request that has the right shape but a value that can't be used. */
export class ValidationFailure extends Error {
  override name = 'ValidationFailure';
  readonly problems: Problem[];

  constructor(problems: Problem[]) {
    super(problems.map(({ msg }) => msg).join('; '));
    this.problems = problems;
  }
}

/** What express-openapi-validator throws, as far as it is read here. */
export type ValidatorError = Error & {
  status: number;
  headers?: Record<string, string>;
  errors: { path: string; message: string; errorCode?: string }[];
};

export function isValidatorError(error: unknown): error is ValidatorError {
  return error instanceof Error && 'status' in error && 'errors' in error && Array.isArray(error.errors);
}

/** Whether the request was understood and breaks the contract. */
export function isBreach({ status, errors }: ValidatorError): boolean {
  return status === 400 && errors.some(({ errorCode }) => errorCode !== undefined);
}

type Wording = Pick<Problem, 'type' | 'msg' | 'ctx'>;

const locations: Record<string, string> = { query: 'query', headers: 'header', params: 'path', body: 'body' };

/**
 * Returns pydantic's account of what the validator refused: the keyword that failed, the schema it stands in and
 * the value it failed on decide the words.
 */
export function problemsOf(contract: Contract, error: ValidatorError, req: Request): Problem[] {
  const problems = error.errors.map(({ path, message, errorCode = '' }) => {
    const [place = '', ...keys] = path.split('/').slice(1).map(unescapePointer);
    const keyword = errorCode.split('.')[0] ?? '';
    const schema = schemaAt(contract, req, place, keys);
    const input = keyword === 'required' ? holderAt(req, place, keys) : inputAt(req, place, keys);
    const isBody = place === 'body';
    const { type, msg, ctx } = wording(keyword, schema, input, isBody && keys.length === 0, !isBody, message);
    return {
      type,
      loc: [locations[place] ?? place, ...placesOf(req, place, keys)],
      msg,
      input: input ?? null,
      ...(ctx && { ctx }),
    };
  });
  return problems.filter((problem, index) => !isEcho(problem, problems.slice(0, index)));
}

/** The place of an element of an array is a number. */
function placesOf(req: Request, place: string, keys: string[]): (string | number)[] {
  return keys.map((key, at) => (Array.isArray(inputAt(req, place, keys.slice(0, at))) ? Number(key) : key));
}

/** A value of the wrong type fails its enum or pattern too; pydantic reports the first failure of a field. */
function isEcho(problem: Problem, earlier: Problem[]): boolean {
  return earlier.some(({ loc }) => loc.join('/') === problem.loc.join('/'));
}

function wording(
  keyword: string,
  schema: Schema,
  input: unknown,
  isWholeBody: boolean,
  isText: boolean,
  message: string,
): Wording {
  switch (keyword) {
    case 'required':
      return { type: 'missing', msg: 'Field required' };
    case 'type':
      if (schema.enum) return notListed(schema.enum);
      return isWholeBody && typesOf(schema).includes('object') ? notAModel : wrongType(schema, input, isText);
    case 'minimum':
      return {
        type: 'greater_than_equal',
        msg: `Input should be greater than or equal to ${schema.minimum}`,
        ctx: { ge: schema.minimum },
      };
    case 'maximum':
      return {
        type: 'less_than_equal',
        msg: `Input should be less than or equal to ${schema.maximum}`,
        ctx: { le: schema.maximum },
      };
    case 'enum':
      return notListed(schema.enum ?? []);
    case 'additionalProperties':
      return { type: 'extra_forbidden', msg: 'Extra inputs are not permitted' };
    case 'minLength':
      return tooFewOrMany('string_too_short', 'at least', 'min_length', schema.minLength);
    case 'maxLength':
      return tooFewOrMany('string_too_long', 'at most', 'max_length', schema.maxLength);
    case 'minItems':
      return listLength('too_short', 'at least', 'min_length', schema.minItems, input);
    case 'maxItems':
      return listLength('too_long', 'at most', 'max_length', schema.maxItems, input);
    case 'pattern':
      return {
        type: 'string_pattern_mismatch',
        msg: `String should match pattern '${schema.pattern}'`,
        ctx: { pattern: schema.pattern },
      };
    default:
      return { type: 'value_error', msg: `Value error, ${message}`, ctx: { error: message } };
  }
}

const notAModel: Wording = {
  type: 'model_attributes_type',
  msg: 'Input should be a valid dictionary or object to extract fields from',
};

const typeWords: Record<string, Wording> = {
  integer: { type: 'int_type', msg: 'Input should be a valid integer' },
  number: { type: 'float_type', msg: 'Input should be a valid number' },
  string: { type: 'string_type', msg: 'Input should be a valid string' },
  boolean: { type: 'bool_type', msg: 'Input should be a valid boolean' },
  object: { type: 'dict_type', msg: 'Input should be a valid dictionary' },
  array: { type: 'list_type', msg: 'Input should be a valid list' },
};

function wrongType(schema: Schema, input: unknown, isText: boolean): Wording {
  const expected = typesOf(schema).find((type) => type !== 'null') ?? '';
  if (expected === 'integer' && isText) {
    return { type: 'int_parsing', msg: 'Input should be a valid integer, unable to parse string as an integer' };
  }
  if (expected === 'integer' && typeof input === 'number') {
    return { type: 'int_from_float', msg: 'Input should be a valid integer, got a number with a fractional part' };
  }
  return typeWords[expected] ?? { type: 'value_error', msg: 'Value error, the value is of the wrong type' };
}

function notListed(allowed: unknown[]): Wording {
  const expected = inWords(allowed.filter((value) => value !== null));
  return { type: 'literal_error', msg: `Input should be ${expected}`, ctx: { expected } };
}

function tooFewOrMany(type: string, bound: string, name: string, length = 0): Wording {
  return {
    type,
    msg: `String should have ${bound} ${length} character${length === 1 ? '' : 's'}`,
    ctx: { [name]: length },
  };
}

function listLength(type: string, bound: string, name: string, length = 0, input: unknown): Wording {
  const actual = Array.isArray(input) ? input.length : 0;
  return {
    type,
    msg: `List should have ${bound} ${length} item${length === 1 ? '' : 's'} after validation, not ${actual}`,
    ctx: { field_type: 'List', [name]: length, actual_length: actual },
  };
}

function inWords(values: unknown[]): string {
  const words = values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value)));
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : words.join('');
}

function typesOf(schema: Schema): string[] {
  return [schema.type ?? [], schema.anyOf?.flatMap(typesOf) ?? []].flat();
}

/** Returns the operation of the contract that the validator found the request to be. */
export function operationOf(contract: Contract, req: Request): Operation | undefined {
  return contract.paths[req.openapi?.openApiRoute ?? '']?.[req.method.toLowerCase()];
}

function schemaAt(contract: Contract, req: Request, place: string, keys: string[]): Schema {
  const operation = operationOf(contract, req);
  if (!operation) return {};
  const within = (schema: Schema, rest: string[]) =>
    rest.reduce((outer, key) => member(contract, outer, key), resolve<Schema>(contract, schema));
  if (place === 'body') return within(Object.values(operation.requestBody?.content ?? {})[0]?.schema ?? {}, keys);
  const [name, ...rest] = keys;
  return within(parametersOf(contract, operation).find((parameter) => parameter.name === name)?.schema ?? {}, rest);
}

/** Returns in words where an answer breaks which schema of the contract; null for an error that is none of an answer's. */
export function breachOf(contract: Contract, error: ValidatorError, req: Request, status: number): string | null {
  const operation = operationOf(contract, req);
  if (error.status !== 500 || !operation) return null;
  const places = error.errors.map(({ path, message }) => {
    const keys = path.split('/').slice(2).map(unescapePointer);
    const pointer = schemaPointer(contract, operation, status, keys);
    return `${['response', ...keys].join('.')} ${message} (${pointer})`;
  });
  return `The answer breaks the contract of ${operation.operationId}, status ${status}: ${places.join('; ')}`;
}

/** Returns where in the contract the schema of a value in an answer stands, as far as that can be told. */
function schemaPointer(contract: Contract, operation: Operation, status: number, keys: string[]): string {
  type Place = { pointer: string; schema: Schema };
  const at = (pointer: string, value: unknown): Place => {
    const { $ref } = (value ?? {}) as Schema;
    return { pointer: $ref ?? pointer, schema: resolve<Schema>(contract, (value ?? {}) as Schema) };
  };
  const response = at(`responses/${status}`, operation.responses[status]);
  const content = 'content' in response.schema ? response.schema.content : {};
  const json = (content as Record<string, { schema?: Schema }>)['application/json']?.schema;
  const whole = at(`${response.pointer}/content/application~1json/schema`, json);
  return keys.reduce<Place>(({ pointer, schema }, key) => {
    if (schema.items) return at(`${pointer}/items`, schema.items);
    const inner = schema.properties?.[key];
    return inner ? at(`${pointer}/properties/${key}`, inner) : { pointer, schema: {} };
  }, whole).pointer;
}

function member(contract: Contract, schema: Schema, key: string): Schema {
  const rest = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : {};
  return resolve<Schema>(contract, schema.properties?.[key] ?? schema.items ?? rest);
}

/** What lacks a required member: shown where it is JSON; of a form FastAPI shows nothing. */
function holderAt(req: Request, place: string, keys: string[]): unknown {
  return req.is('application/json') ? inputAt(req, place, keys.slice(0, -1)) : null;
}

/** The value as the caller sent it: query values as text, members of the body as JSON. */
function inputAt(req: Request, place: string, keys: string[]): unknown {
  const whole: unknown = place === 'body' ? req.body : place === 'query' ? parseQuery(req.url) : req.params;
  return keys.reduce<unknown>((value, key) => {
    const holder = value as Record<string, unknown> | null | undefined;
    return holder != null && Object.hasOwn(holder, key) ? holder[key] : undefined;
  }, whole);
}

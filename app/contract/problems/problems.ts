import type { Request } from 'express';
import type { Sent, SentObject } from '../../../db/json/reader.ts';
import {
  type Contract,
  type Operation,
  type Parameter,
  parametersOf,
  resolve,
  type Schema,
  unescapePointer,
} from '../../../spec/load.ts';
import type { Problem } from '../../errors.ts';
import { valueErrorOf } from '../pydantic/words.ts';
import { formType, isExploded, parseQuery, valuesIn } from '../query.ts';
import { ProblemList } from './problem-list.ts';
import { lengthOf, printable, sentAt } from './sent-values.ts';

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

/** Returns pydantic's account of what the validator refused, as much of it as is listed. */
export function problemsOf(contract: Contract, error: ValidatorError, req: Request): Problem[] {
  const list = new ProblemList(contract);
  const operation = operationOf(contract, req);
  if (operation) {
    const parameters = parametersOf(contract, operation);
    for (const place of ['path', 'query', 'header']) {
      for (const parameter of parameters) if (parameter.in === place) checkParameter(list, parameter, req);
    }
    checkBody(list, contract, operation, req);
  }
  const { problems, unlisted } = list;
  if (problems.length === 0) return error.errors.slice(0, 1).map(inValidatorsWords);
  return unlisted === 0 ? problems : [...problems, andMore(problems, unlisted)];
}

function checkParameter(list: ProblemList, parameter: Parameter, req: Request) {
  const { in: place, name, required, schema } = parameter;
  const loc = [place, place === 'header' ? name.toLowerCase() : name];
  const text = textOf(req, place, name);
  if (text === undefined) {
    if (required) list.addMissing(loc);
  } else if (isExploded(parameter)) {
    list.check(loc, schema, valuesIn(req.url, name), true);
  } else if (schema.type === 'array') {
    list.check(loc, schema, text === '' ? [] : text.split(','), true);
  } else list.check(loc, schema, text, true);
}

function textOf(req: Request, place: string, name: string): string | undefined {
  if (place === 'header') return req.headers[name.toLowerCase()]?.toString();
  return place === 'query' ? parseQuery(req.url)[name] : req.openapi?.pathParams?.[name];
}

function checkBody(list: ProblemList, contract: Contract, { requestBody }: Operation, req: Request): void {
  if (!requestBody) return;
  const type = req.headers['content-type'] ?? '';
  const schema = requestBody.content[type]?.schema;
  const body = req.body === undefined ? undefined : (req.readSentBody?.() ?? new Map());
  if (body === undefined) {
    if (requestBody.required) list.addMissing(['body']);
  } else if (schema && type === formType && body instanceof Map) checkForm(list, resolve(contract, schema), body);
  else if (schema) list.check(['body'], schema, body);
}

/** To FastAPI the fields of a form are parameters. */
function checkForm(list: ProblemList, { properties = {}, required = [] }: Schema, form: SentObject): void {
  for (const [name, schema] of Object.entries(properties)) {
    const value = form.get(name);
    if (value !== undefined) list.check(['body', name], schema, value, true);
    else if (required.includes(name)) list.addMissing(['body', name]);
  }
}

/** For what the validator refuses by a rule that has no words here. */
function inValidatorsWords({ path, message }: ValidatorError['errors'][number]): Problem {
  const [place = '', ...keys] = path.split('/').slice(1).map(unescapePointer);
  const places: Record<string, string> = { headers: 'header', params: 'path' };
  return { ...valueErrorOf(message), loc: [places[place] ?? place, ...keys], input: null };
}

function andMore(listed: Problem[], unlisted: number): Problem {
  const loc = listed.at(-1)?.loc.slice(0, 1) ?? [];
  const msg = `${unlisted} more ${unlisted === 1 ? 'problem is' : 'problems are'} not listed`;
  return { type: 'too_many_problems', loc, msg, ctx: { unlisted } };
}

/** How much JSON text a 422 may show of what was sent, and how long a name in a place may be. */
const maxShownLength = 32_768;
const maxNameLength = 1000;

/**
 * Returns the problems as they are shown: `input` as it was sent, also of what only the store or a route refused, and left
 * out where all of them together would be too long; an answer is to be no multiple of its request.
 */
export function shownProblems(problems: Problem[], req: Request): Problem[] {
  let left = maxShownLength;
  return problems.map((problem) => {
    const { input, ...rest } = problem;
    const loc = problem.loc.map(shortened);
    const value = isOfBody(problem) ? (sentAt(req, problem.loc.slice(1)) ?? input) : input;
    const length = value === undefined ? 0 : lengthOf(value, left);
    if (value === undefined || length > left) return { ...rest, loc };
    left -= length;
    const { type, msg, ctx } = rest;
    return { type, loc, msg, input: printable(value as Sent), ...(ctx && { ctx }) };
  });
}

/** What a route says of the body has the contract's defaults in it. */
function isOfBody({ type, loc }: Problem): boolean {
  return type === 'value_error' && loc[0] === 'body';
}

/** Returns a part of a place as it is shown: the first 1,000 characters of a longer name. */
export function shortened(place: string | number): string | number {
  return typeof place === 'string' && place.length > maxNameLength ? `${place.slice(0, maxNameLength)}…` : place;
}

/** Returns the operation of the contract that the validator found the request to be. */
export function operationOf(contract: Contract, req: Request): Operation | undefined {
  return contract.paths[req.openapi?.openApiRoute ?? '']?.[req.method.toLowerCase()];
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

import type { Request } from 'express';
import type { SentObject } from '../../../db/json/reader.ts';
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
import { bodyOf, operationOf } from '../operation.ts';
import { valueErrorOf } from '../pydantic/error.ts';
import { formType, isExploded, parseQuery, valuesIn } from '../query.ts';
import { ProblemList } from './problem-list.ts';
import type { ValidatorError } from './validator-error.ts';

/**
 * Returns every problem of a request that the validator refused, in pydantic's words and order:
 * path, query, headers, body. The validator reports its first failure only, so the request is
 * checked again.
 */
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
  if (problems.length === 0) return error.errors.slice(0, 1).map(fromValidator);
  return unlisted === 0 ? problems : [...problems, tooMany(problems, unlisted)];
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

function checkBody(list: ProblemList, contract: Contract, operation: Operation, req: Request): void {
  const requestBody = bodyOf(operation);
  if (!requestBody) return;
  const type = req.headers['content-type'] ?? '';
  const schema = requestBody.content[type]?.schema;
  const body = req.body === undefined ? undefined : (req.readSentBody?.() ?? new Map());
  if (body === undefined) {
    if (requestBody.required) list.addMissing(['body']);
  } else if (schema && type === formType && body instanceof Map) checkForm(list, resolve(contract, schema), body);
  else if (schema) list.check(['body'], schema, body);
}

/** FastAPI treats the fields of a form as parameters: their values are text. */
function checkForm(list: ProblemList, { properties = {}, required = [] }: Schema, form: SentObject): void {
  for (const [name, schema] of Object.entries(properties)) {
    const value = form.get(name);
    if (value !== undefined) list.check(['body', name], schema, value, true);
    else if (required.includes(name)) list.addMissing(['body', name]);
  }
}

/** Returns the validator's own account, for a rule that ProblemList does not know. */
function fromValidator({ path, message }: ValidatorError['errors'][number]): Problem {
  const [place = '', ...keys] = path.split('/').slice(1).map(unescapePointer);
  const places: Record<string, string> = { headers: 'header', params: 'path' };
  return { ...valueErrorOf(message), loc: [places[place] ?? place, ...keys], input: null };
}

function tooMany(listed: Problem[], unlisted: number): Problem {
  const loc = listed.at(-1)?.loc.slice(0, 1) ?? [];
  const msg = `${unlisted} more ${unlisted === 1 ? 'problem is' : 'problems are'} not listed`;
  return { type: 'too_many_problems', loc, msg, ctx: { unlisted } };
}

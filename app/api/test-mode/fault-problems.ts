import { type Contract, type Operation, operationsOf, resolve, type Schema } from '../../../spec/load.ts';
import { type Problem, valueError } from '../../errors.ts';
import type { Fault } from './faults.ts';

type Response = { content?: Record<string, { schema: Schema }> };

/** Returns why a fault would never happen, or would do nothing: a test would pass for the wrong reason. */
export function faultProblems(contract: Contract, fault: Fault): Problem[] {
  const { omit } = fault;
  const misfits = answerProblems(fault);
  if (misfits.length > 0) return misfits;
  const met = operationsMet(contract, fault);
  if (met.length === 0) {
    const { method = '*', path = '*' } = fault;
    const asked = method === '*' ? path : `${method} ${path}`;
    return [
      valueError(['body', 'path'], `the contract has no operation ${asked}; a path goes without its query`, path),
    ];
  }
  if (omit === undefined || met.some((operation) => answersWith(contract, operation, omit))) return [];
  return [valueError(['body', 'omit'], 'no answer to these requests has such a member', omit)];
}

/** Of the connection, or of the body's length: with a wrong one there would be no answer at all. */
const framing = /^(connection|content-length|date|keep-alive|te|trailer|transfer-encoding|upgrade)$/i;
/** RFC 9110, 5.6.2 */
const token = /^[!#$%&'*+.^_`|~\w-]+$/;

/** Returns what can't be sent of the answer that a fault spells out. */
function answerProblems({ status, headers = {}, body, connection }: Fault): Problem[] {
  if (status === undefined || connection === 'drop') {
    if (body === undefined && Object.keys(headers).length === 0) return [];
    return [valueError(['body', 'status'], 'headers and a body are sent with a status, and not with drop', status)];
  }
  if (status < 400 && body === undefined) {
    return [valueError(['body', 'status'], 'a status below 400 is sent with a body of yours', status)];
  }
  if (body && [204, 205, 304].includes(status)) {
    return [valueError(['body', 'body'], `an answer ${status} has no body`, body)];
  }
  return Object.entries(headers)
    .filter(([name]) => !token.test(name) || framing.test(name))
    .map(([name, value]) => valueError(['body', 'headers', name], 'this header can not be sent', value));
}

/** Returns the operations that a fault's method and path may stand for. */
function operationsMet(contract: Contract, { method = '*', path = '*' }: Fault): Operation[] {
  return operationsOf(contract)
    .filter((described) => !described.path.startsWith('/_test/'))
    .filter((described) => method === '*' || described.method === method.toLowerCase())
    .filter((described) => mayMeet(path.split('/'), described.path.split('/')))
    .map(({ operation }) => operation);
}

/** What comes behind a `*`, which may stand for several segments, is not looked at. */
function mayMeet([wanted, ...behind]: string[], [described, ...more]: string[]): boolean {
  if (wanted === undefined || described === undefined) return wanted === described;
  const [beginning = '', ...rest] = wanted.split('*');
  const isOpen = (isParameter(described) && wanted !== '') || isParameter(beginning);
  if (rest.length > 0) return isOpen || described.startsWith(beginning);
  return (isOpen || described === wanted) && mayMeet(behind, more);
}

function isParameter(segment: string): boolean {
  return segment.includes('{');
}

/** Whether an answer, or in an array every object of it, may have the member. */
function answersWith(contract: Contract, { responses }: Operation, member: string): boolean {
  return Object.values(responses).some((response) => {
    const { content = {} } = resolve<Response>(contract, response as Response);
    const body = content['application/json']?.schema;
    return body !== undefined && [body, ...itemsOf(contract, body)].some((schema) => has(contract, schema, member));
  });
}

function itemsOf(contract: Contract, schema: Schema): Schema[] {
  const { items } = resolve(contract, schema);
  return items ? [items] : [];
}

function has(contract: Contract, schema: Schema, member: string): boolean {
  const { type, properties, allOf = [], anyOf = [] } = resolve(contract, schema);
  if (type === 'object' && !properties && allOf.length === 0) return true;
  return Object.hasOwn(properties ?? {}, member) || [...allOf, ...anyOf].some((part) => has(contract, part, member));
}

import { type Contract, type Operation, operationsOf, resolve, type Schema } from '../../spec/load.ts';
import { type Problem, valueError } from '../validation.ts';
import type { Fault } from './faults.ts';

type Response = { content?: Record<string, { schema: Schema }> };

/** Returns why a fault would never happen, or would do nothing: a test would pass for the wrong reason. */
export function faultProblems(contract: Contract, fault: Fault): Problem[] {
  const { status, delay_seconds: delay, connection, omit } = fault;
  if ([status, delay, connection, omit].every((effect) => effect === undefined)) {
    return [valueError(['body'], 'say what is to go wrong: status, delay_seconds, connection or omit', fault)];
  }
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

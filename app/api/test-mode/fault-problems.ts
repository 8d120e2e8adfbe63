import { type Contract, type Operation, operationsOf, resolve, type Schema } from '../../../spec/load.ts';
import { type Problem, valueError } from '../../errors.ts';
import type { Fault } from './faults.ts';

type Response = { content?: Record<string, { schema: Schema }> };

/**
 * Returns why a fault could never happen or would change nothing. Such a fault is refused, because
 * the test would pass for the wrong reason.
 */
export function faultProblems(contract: Contract, fault: Fault): Problem[] {
  const { omit, method = '*', path = '*' } = fault;
  const problems = responseProblems(fault);
  if (problems.length > 0) return problems;
  const operations = matchingOperations(contract, method, path);
  if (operations.length === 0) {
    const name = method === '*' ? path : `${method} ${path}`;
    return [valueError(['body', 'path'], `the contract has no operation ${name}; leave out the query of a path`, path)];
  }
  if (omit === undefined || operations.some((operation) => mayAnswerWith(contract, operation, omit))) return [];
  return [valueError(['body', 'omit'], 'no response to these requests has this member', omit)];
}

/**
 * Headers that frame the message or manage the connection: a wrong one would prevent any response.
 */
const framing = /^(connection|content-length|date|keep-alive|te|trailer|transfer-encoding|upgrade)$/i;
/** A header's name (RFC 9110, 5.6.2). */
const token = /^[!#$%&'*+.^_`|~\w-]+$/;

/** Returns why the response that a fault specifies can't be sent. */
function responseProblems({ status, headers = {}, body, connection }: Fault): Problem[] {
  if (status === undefined || connection === 'drop') {
    if (body === undefined && Object.keys(headers).length === 0) return [];
    return [valueError(['body', 'status'], 'headers and a body need a status, and do not go with drop', status)];
  }
  if (status < 400 && body === undefined) {
    return [valueError(['body', 'status'], 'a status below 400 needs a body', status)];
  }
  if (body && [204, 205, 304].includes(status)) {
    return [valueError(['body', 'body'], `a response with status ${status} has no body`, body)];
  }
  return Object.entries(headers)
    .filter(([name]) => !token.test(name) || framing.test(name))
    .map(([name, value]) => valueError(['body', 'headers', name], 'this header can not be sent', value));
}

function matchingOperations(contract: Contract, method: string, path: string): Operation[] {
  return operationsOf(contract)
    .filter((described) => !described.path.startsWith('/_test/'))
    .filter((described) => method === '*' || described.method === method.toLowerCase())
    .filter((described) => mayMatch(path.split('/'), described.path.split('/')))
    .map(({ operation }) => operation);
}

/**
 * Returns whether a path with `*` may match a path of the contract, segment by segment. What
 * follows a `*` is not compared, because a `*` may stand for several segments.
 */
function mayMatch([wanted, ...moreWanted]: string[], [described, ...moreDescribed]: string[]): boolean {
  if (wanted === undefined || described === undefined) return wanted === described;
  const [beforeStar = '', ...afterStar] = wanted.split('*');
  const isAnySegment = (isParameter(described) && wanted !== '') || isParameter(beforeStar);
  if (afterStar.length > 0) return isAnySegment || described.startsWith(beforeStar);
  return (isAnySegment || described === wanted) && mayMatch(moreWanted, moreDescribed);
}

function isParameter(segment: string): boolean {
  return segment.includes('{');
}

/** Returns whether a response may have a member, in its object or in the objects of its array. */
function mayAnswerWith(contract: Contract, { responses }: Operation, member: string): boolean {
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

import type { Request, RequestHandler } from 'express';
import { type Contract, type Operation, operationsOf, parametersOf, resolve, type Schema } from '../../spec/load.ts';
import { HttpError } from '../errors.ts';
import { operationOf } from './problems/problems.ts';

/** A member or parameter that clients know and that the contract marks with `x-not-offered`, with the reason. */
type Mark = { place: 'body' | 'query'; name: string; reason: string };

/**
 * Returns the handler that answers 501 to a request that asks for something marked `x-not-offered`, and says why. InstaVM's
 * client shows its user only what a 403, a 429 or a 5xx says.
 */
export function refuseNotOffered(contract: Contract): RequestHandler {
  const marksById = new Map(
    operationsOf(contract).map(({ operation }) => [operation.operationId, marksOf(contract, operation)] as const),
  );
  return (req, _res, next) => {
    const marks = marksById.get(operationOf(contract, req)?.operationId ?? '') ?? [];
    const asked = marks.find((mark) => asksForSomething(valueAt(req, mark)));
    if (asked) throw new HttpError(501, `${asked.name} is not offered: ${asked.reason}`);
    next();
  };
}

/** Returns the marks of an operation's parameters and of the members of its body. */
export function marksOf(contract: Contract, operation: Operation): Mark[] {
  const parameters = parametersOf(contract, operation).map((parameter) => [parameter.name, parameter] as const);
  const bodies = Object.values(operation.requestBody?.content ?? {});
  const members = bodies.flatMap(({ schema }) => Object.entries(resolve<Schema>(contract, schema).properties ?? {}));
  return [...marked('query', parameters), ...marked('body', members)];
}

function marked(place: Mark['place'], found: (readonly [string, { 'x-not-offered'?: string }])[]): Mark[] {
  return found.flatMap(([name, { 'x-not-offered': reason }]) =>
    reason === undefined ? [] : [{ place, name, reason }],
  );
}

function valueAt(req: Request, { place, name }: Mark): unknown {
  const holder: unknown = place === 'query' ? req.query : req.body;
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name)
    ? (holder as Record<string, unknown>)[name]
    : undefined;
}

/**
 * Clients send null, false, or an empty text, list or object when their users ask for nothing. What is in an object
 * counts: an egress policy that allows nothing asks for the most.
 */
function asksForSomething(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== '';
}

import type { Request, RequestHandler } from 'express';
import { type Contract, type Operation, operationsOf, parametersOf, resolve, type Schema } from '../../spec/load.ts';
import { HttpError } from '../errors.ts';
import { operationOf } from './operation.ts';

/**
 * A member or parameter that clients know and that the contract marks with `x-not-offered`, with
 * the reason.
 */
type Mark = { place: 'body' | 'query'; name: string; reason: string; status: number };

type Marked = { 'x-not-offered'?: string; 'x-not-offered-status'?: number };

/**
 * Returns a handler that throws HttpError 501, with the reason, if a request uses something that
 * the contract marks with `x-not-offered`. It is not a 404 or 422 because InstaVM's client shows
 * its user only the messages of 403, 429 and 5xx. A mark has another status where that client
 * repeats a 5xx.
 */
export function refuseNotOffered(contract: Contract): RequestHandler {
  const marksById = new Map(
    operationsOf(contract).map(({ operation }) => [operation.operationId, marksOf(contract, operation)] as const),
  );
  return (req, _res, next) => {
    const marks = marksById.get(operationOf(contract, req)?.operationId ?? '') ?? [];
    const used = marks.find((mark) => isUsed(valueAt(req, mark)));
    if (used) throw new HttpError(used.status, `${used.name} is not offered: ${used.reason}`);
    next();
  };
}

/** Returns the marks of an operation's parameters and of the members of its body. */
export function marksOf(contract: Contract, operation: Operation): Mark[] {
  const parameters = parametersOf(contract, operation).map((parameter) => [parameter.name, parameter] as const);
  const bodies = Object.values(operation.requestBody?.content ?? {});
  const members = bodies.flatMap(({ schema }) => membersOf(contract, schema));
  return [...marksIn('query', parameters), ...marksIn('body', members)];
}

/** Returns the members of an object, and those of the objects in it, with dots in their names. */
function membersOf(contract: Contract, given: Schema): (readonly [string, Schema])[] {
  const { properties = {} } = resolve<Schema>(contract, given);
  return Object.entries(properties).flatMap(([name, member]) => [
    [name, member] as const,
    ...membersOf(contract, member).map(([inner, schema]) => [`${name}.${inner}`, schema] as const),
  ]);
}

function marksIn(place: Mark['place'], entries: (readonly [string, Marked])[]): Mark[] {
  return entries.flatMap(([name, { 'x-not-offered': reason, 'x-not-offered-status': status = 501 }]) =>
    reason === undefined ? [] : [{ place, name, reason, status }],
  );
}

function valueAt(req: Request, { place, name }: Mark): unknown {
  const holder: unknown = place === 'query' ? req.query : req.body;
  return name.split('.').reduce(memberOf, holder);
}

function memberOf(holder: unknown, name: string): unknown {
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name)
    ? (holder as Record<string, unknown>)[name]
    : undefined;
}

/**
 * Returns whether a value asks for something.
 * Null, false, and an empty text, list or object are not a use: clients send them when their users
 * ask for nothing. The members of an object count whatever they are: an egress policy that allows
 * nothing is a use.
 */
export function isUsed(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== '';
}

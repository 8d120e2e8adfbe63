import type { Request, RequestHandler } from 'express';
import { LRUCache } from 'lru-cache';
import { type Contract, type Operation, type Parameter, parametersOf } from '../../spec/load.ts';
import { createAuthenticator } from '../auth.ts';
import type { Context } from '../context.ts';
import { isProbe } from '../http/probes.ts';
import { bodyReader } from './body/reader.ts';
import { refuseRepeated, refuseTrailingSlash, requireBody } from './dialect-rules.ts';
import { refuseNotOffered } from './not-offered.ts';
import { refuseNotOfferedPaths } from './not-offered-paths.ts';
import { operationOf } from './operation.ts';
import { validatorParts } from './validator-parts.ts';

/** Bounds of the verdict cache: its entries, and the length of an address in it. */
const maxVerdicts = 1000;
const maxAddressLength = 1000;

/** The validator's result for a valid request. */
type Verdict = { openapi: Request['openapi']; query: Request['query'] };

/**
 * Returns the handler that enforces the contract. If an operation has no body, the method and the
 * address alone decide whether a request is valid, so the verdict on a valid request is cached by
 * them. The credential is checked every time.
 */
export function validator(context: Context): RequestHandler {
  const { contract } = context;
  const { route, security, request, response } = validatorParts(contract, {
    authenticate: createAuthenticator(context),
    validateResponses: context.config.validateResponses,
  });
  const validateAll = chain([
    limitUnrouted(context, chain([...route, refuseTrailingSlash])),
    ...security,
    limitAnonymous(context),
    refuseRepeated(contract),
    ...bodyReader(contract),
    refuseNotOffered(contract),
    ...request,
    ...response,
    requireBody(contract),
  ]);
  const checkCaller = chain([...security, limitAnonymous(context), ...response]);
  const verdicts = new LRUCache<string, Verdict>({ max: maxVerdicts });

  return (req, res, next) => {
    const address = `${req.method} ${req.originalUrl}`;
    const verdict = verdicts.get(address);
    if (verdict) {
      applyVerdict(req, verdict);
      // Requests that arrive together then share the turns of the event loop, which costs less than
      // a turn each.
      checkCaller(req, res, (error) => void setImmediate(next, error));
      return;
    }
    validateAll(req, res, (error?: unknown) => {
      if (!error && address.length <= maxAddressLength && isDecidedByAddress(contract, operationOf(contract, req))) {
        verdicts.set(address, { openapi: req.openapi, query: { ...req.query } });
      }
      next(error);
    });
  };
}

/**
 * Returns a handler that checks requests against the contract, without credentials and rate limits.
 */
export function requestValidator(contract: Contract): RequestHandler {
  const { route, request } = validatorParts(contract, {});
  return chain([
    ...route,
    refuseTrailingSlash,
    refuseRepeated(contract),
    ...bodyReader(contract),
    ...request,
    requireBody(contract),
  ]);
}

/** Returns one handler that runs these in order, up to the first error. */
function chain(handlers: RequestHandler[]): RequestHandler {
  return (req, res, done) => {
    let at = 0;
    const next = (error?: unknown) => {
      const handler = error ? undefined : handlers[at++];
      if (!handler) return done(error);
      try {
        handler(req, res, next);
      } catch (thrown) {
        done(thrown);
      }
    };
    next();
  };
}

/**
 * Returns a handler that runs `route`. If that finds no operation, the path may be one that is not
 * offered. A request for an unknown path or method counts against its address: its credential is
 * not checked.
 */
function limitUnrouted(context: Context, route: RequestHandler): RequestHandler {
  // In a chain, because the validator would lose an error that is thrown after its own.
  const refuse = chain([
    refuseNotOfferedPaths(context),
    (req, _res, next) => {
      context.limitRate(req);
      next();
    },
  ]);
  return (req, res, next) =>
    route(req, res, (error?: unknown) => {
      if (error) refuse(req, res, (refusal?: unknown) => next(refusal ?? error));
      else next();
    });
}

/** Counts a request without a credential. Others are counted when their credential is checked. */
function limitAnonymous({ limitRate }: Context): RequestHandler {
  return (req, _res, next) => {
    if (!req.principal && !isProbe(req)) limitRate(req);
    next();
  };
}

function applyVerdict(req: Request, { openapi, query }: Verdict): void {
  req.openapi = openapi;
  // As the validator does. Express's own property parses the address at every access.
  Object.defineProperty(req, 'query', { writable: true, value: { ...query } });
}

/** Returns whether a verdict is worth caching. Paths with an id in them are too many. */
function isDecidedByAddress(contract: Contract, operation: Operation | undefined): boolean {
  if (!operation || operation.requestBody) return false;
  return parametersOf(contract, operation).every(
    ({ in: place, required, schema }) =>
      place === 'query' || (place === 'header' && !required && acceptsAnyText(schema)),
  );
}

function acceptsAnyText({ anyOf, ...rest }: Parameter['schema']): boolean {
  const { type, ...bounds } = anyOf?.[0] ?? rest;
  return type === 'string' && Object.keys(bounds).every((name) => name === 'title' || name === 'description');
}

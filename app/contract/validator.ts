import type { Request, RequestHandler } from 'express';
import { middleware as openApiValidator } from 'express-openapi-validator';
import {
  type Contract,
  type Operation,
  operationsOf,
  type Parameter,
  parametersOf,
  withoutReferences,
} from '../../spec/load.ts';
import { dateTimeFormat } from '../../spec/time.ts';
import { createAuthenticator } from '../auth.ts';
import type { Context } from '../context.ts';
import { HttpError, ValidationFailure, valueError } from '../errors.ts';
import { isProbe } from '../http/admission/slots.ts';
import { isE2b } from '../http/dialect.ts';
import { deferSpecCheck } from '../internals/lazy-spec-check.ts';
import { bodyReader } from './body/reader.ts';
import { refuseNotOffered } from './not-offered.ts';
import { operationOf } from './problems/problems.ts';
import { datetimeFormat } from './pydantic/datetime.ts';
import { isExploded, valuesIn } from './query.ts';

/** Addresses whose validation is remembered: how many, and how long each may be. */
const maxRemembered = 1000;
const maxAddressLength = 1000;

type Verdict = { openapi: Request['openapi']; query: Request['query'] };

/**
 * Returns the handler that enforces the contract. In an operation without a body nothing but the method and the
 * address decides whether a request is valid, so of valid ones the verdict is remembered: the same address is taken
 * apart once. Who asks is looked up every time.
 */
export function validator(context: Context): RequestHandler {
  const { contract } = context;
  const { before, security, request, response } = validatorParts(contract, {
    authenticate: createAuthenticator(context),
    validateResponses: context.config.validateResponses,
  });
  const everything = inTurn([
    countRefusals(context, inTurn(before)),
    ...security,
    limitAnonymous(context),
    refuseRepeated(contract),
    ...bodyReader(contract),
    refuseNotOffered(contract),
    ...request,
    ...response,
    requireBody(contract),
  ]);
  const everyTime = inTurn([...security, limitAnonymous(context), ...response]);
  const verdicts = new Map<string, Verdict>();

  return (req, res, next) => {
    const address = `${req.method} ${req.originalUrl}`;
    const verdict = verdicts.get(address);
    if (verdict) {
      // The oldest goes first: this one is young again.
      verdicts.delete(address);
      verdicts.set(address, verdict);
      recall(req, verdict);
      // Requests that came together are answered together: a turn of the event loop for many costs less than one for each.
      everyTime(req, res, (error) => void setImmediate(next, error));
      return;
    }
    everything(req, res, (error?: unknown) => {
      if (!error && address.length <= maxAddressLength && isDecidedByAddress(contract, operationOf(contract, req))) {
        if (verdicts.size >= maxRemembered) verdicts.delete(verdicts.keys().next().value ?? '');
        verdicts.set(address, { openapi: req.openapi, query: { ...req.query } });
      }
      next(error);
    });
  };
}

/** Returns the handler that holds a request against the contract, whoever sent it, and does nothing else. */
export function requestValidator(contract: Contract): RequestHandler {
  const { before, request } = validatorParts(contract, {});
  return inTurn([...before, refuseRepeated(contract), ...bodyReader(contract), ...request, requireBody(contract)]);
}

/** Returns a handler that is these handlers one after another. */
function inTurn(handlers: RequestHandler[]): RequestHandler {
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

/** A path or method that nothing has counts for the address: nobody's credential is looked at then. */
function countRefusals({ limitRate }: Context, find: RequestHandler): RequestHandler {
  return (req, res, next) =>
    find(req, res, (error?: unknown) => {
      if (error) limitRate(req);
      next(error);
    });
}

/** Whoever has a credential was counted with it. */
function limitAnonymous({ limitRate }: Context): RequestHandler {
  return (req, _res, next) => {
    if (!req.principal && !isProbe(req)) limitRate(req);
    next();
  };
}

function recall(req: Request, { openapi, query }: Verdict): void {
  req.openapi = openapi;
  // As the validator does: express's own property reads the address anew each time.
  Object.defineProperty(req, 'query', { writable: true, value: { ...query } });
}

function isDecidedByAddress(contract: Contract, operation: Operation | undefined): boolean {
  // Paths with an id in them are too many to be worth remembering.
  if (!operation || operation.requestBody) return false;
  return parametersOf(contract, operation).every(
    ({ in: place, required, schema }) => place === 'query' || (place === 'header' && !required && takesAnyText(schema)),
  );
}

function takesAnyText({ anyOf, ...rest }: Parameter['schema']): boolean {
  const { type, ...bounds } = anyOf?.[0] ?? rest;
  return type === 'string' && Object.keys(bounds).every((name) => name === 'title' || name === 'description');
}

type Parts = Record<'before' | 'security' | 'request' | 'response', RequestHandler[]>;
type Wanted = { authenticate?: (req: Request) => Promise<true>; validateResponses?: boolean };

/** The validator's handlers by what they do; bodies are read between finding out who asks and validating. */
function validatorParts(contract: Contract, wanted: Wanted): Parts {
  const { authenticate, validateResponses = false } = wanted;
  deferSpecCheck();
  const handlers = openApiValidator({
    apiSpec: forValidator(contract) as never,
    validateApiSpec: false,
    // The first failure is enough: ProblemList finds them all, and no more of them than are listed.
    validateRequests: { allErrors: false, allowUnknownQueryParameters: true },
    validateResponses,
    formats: { 'date-time': dateTimeFormat, 'pydantic-datetime': datetimeFormat },
    validateSecurity: authenticate ? { handlers: { OAuth2PasswordBearer: authenticate } } : false,
    fileUploader: false,
    // What leads to the reference page, and the files that make it up.
    ignorePaths: /^\/(docs\/.*)?$/,
  }) as RequestHandler[];
  const named = (...names: string[]) =>
    names.map((wanted) => {
      const handler = handlers.find(({ name }) => name === wanted);
      if (!handler) throw new Error(`express-openapi-validator has no ${wanted}`);
      return handler;
    });
  return {
    before: [...named('pathParamsMiddleware', 'metadataMiddleware'), refuseSlash],
    security: authenticate ? named('securityMiddleware') : [],
    request: named('requestMiddleware'),
    response: validateResponses ? named('responseMiddleware') : [],
  };
}

/**
 * A copy of the contract (the validator changes it) that takes query values such as `{"a":1}` unescaped, as FastAPI does,
 * and has no references: the validator would compile each of them by itself at every start.
 */
function forValidator(contract: Contract): Contract {
  const copy = withoutReferences(contract, contract) as Contract;
  for (const { operation } of operationsOf(copy)) {
    for (const parameter of parametersOf(copy, operation)) if (parameter.in === 'query') parameter.allowReserved = true;
  }
  return copy;
}

/** E2B's server refuses a parameter that is given twice, unless it is an exploded list; FastAPI takes the last value. */
function refuseRepeated(contract: Contract): RequestHandler {
  return (req, _res, next) => {
    const operation = operationOf(contract, req);
    if (!operation || !isE2b(req.path)) return next();
    const problems = parametersOf(contract, operation)
      .filter((parameter) => parameter.in === 'query' && !isExploded(parameter))
      .flatMap(({ name, schema }) => {
        const values = valuesIn(req.url, name);
        const advice = schema.type === 'array' ? 'join its values by commas' : 'give one value';
        return values.length > 1 ? [valueError(['query', name], `it is given more than once: ${advice}`, values)] : [];
      });
    if (problems.length > 0) throw new ValidationFailure(problems);
    next();
  };
}

/** The validator and the routers take a path with a slash more at its end, too; FastAPI would redirect it. */
const refuseSlash: RequestHandler = (req, _res, next) => {
  const route = req.openapi?.openApiRoute;
  if (route === undefined || !req.path.endsWith(route.endsWith('/') ? '//' : '/')) return next();
  req.openapi = undefined;
  throw new HttpError(404, `Not Found: ${route} has no slash behind it`);
};

/** The validator takes an empty body for none and lets it pass where the schema has no required members. */
function requireBody(contract: Contract): RequestHandler {
  return (req, _res, next) => {
    const operation = operationOf(contract, req);
    if (!operation?.requestBody?.required || req.body !== undefined) return next();
    throw new ValidationFailure([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  };
}

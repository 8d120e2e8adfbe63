import type { Request, RequestHandler } from 'express';
import { type Contract, type Operation, operationsOf, parametersOf, withoutReferences } from '../../spec/load.ts';
import { dateTimeFormat } from '../../spec/time.ts';
import { compilePathsOnce } from '../internals/compiled-paths.ts';
import { type LeanValidator, leanValidator, type ReadOperation } from '../internals/lean-validator.ts';
import { handlersNamed } from '../internals/validator-handlers.ts';
import { withKnownRoutes } from './known-routes.ts';
import { operationOf } from './operation.ts';
import { datetimeFormat } from './pydantic/datetime.ts';

/**
 * The handlers of express-openapi-validator by purpose. Bodies are read between `security` and
 * `request`.
 */
export type ValidatorParts = Record<'route' | 'security' | 'request' | 'response', RequestHandler[]>;

type Wanted = {
  /** Resolves for a valid credential. Without it `security` is empty. */
  authenticate?: (req: Request) => Promise<true>;
  /** False leaves `response` empty. */
  validateResponses?: boolean;
};

type Configured = LeanValidator & { complete: RequestHandler };

/** By contract and `validateResponses`: tests start many servers. */
const configured = new WeakMap<Contract, Map<boolean, Configured>>();
const authenticators = new WeakMap<Request, (req: Request) => Promise<true>>();

/**
 * Returns the handlers of express-openapi-validator for the contract. Servers with the same
 * contract share what it compiles.
 */
export function validatorParts(
  contract: Contract,
  { authenticate, validateResponses = false }: Wanted,
): ValidatorParts {
  const byResponses = configured.get(contract) ?? new Map<boolean, Configured>();
  configured.set(contract, byResponses);
  const found = byResponses.get(validateResponses) ?? configure(contract, validateResponses);
  byResponses.set(validateResponses, found);
  const { handlers, complete } = found;
  return {
    route: [
      ...handlersNamed(handlers, 'pathParamsMiddleware'),
      ...handlersNamed(handlers, 'metadataMiddleware').map(withKnownRoutes),
      complete,
    ],
    security: authenticate ? [remember(authenticate), ...handlersNamed(handlers, 'securityMiddleware')] : [],
    request: handlersNamed(handlers, 'requestMiddleware'),
    response: validateResponses ? handlersNamed(handlers, 'responseMiddleware') : [],
  };
}

function remember(authenticate: (req: Request) => Promise<true>): RequestHandler {
  return (req, _res, next) => {
    authenticators.set(req, authenticate);
    next();
  };
}

function configure(contract: Contract, validateResponses: boolean): Configured {
  compilePathsOnce();
  const validator = leanValidator(routesOf(contract), {
    // The first failure is enough: ProblemList finds the others, up to its limit.
    validateRequests: { allErrors: false, allowUnknownQueryParameters: true },
    validateResponses,
    formats: { 'date-time': dateTimeFormat, 'pydantic-datetime': datetimeFormat },
    validateSecurity: { handlers: { OAuth2PasswordBearer: (req) => authenticators.get(req)?.(req) ?? false } },
    fileUploader: false,
    // The redirect to the reference page, and the files of that page.
    ignorePaths: /^\/(docs\/.*|console(\/(page|library)\/.*)?)?$/,
  });
  return { ...validator, complete: completeOperation(contract, validator, validateResponses) };
}

/** Returns the contract with no more of each operation than its path and its security. */
function routesOf(contract: Contract): Contract {
  const paths: Contract['paths'] = {};
  for (const { path, method, operation } of operationsOf(contract)) {
    const parameters = parametersOf(contract, operation).filter((parameter) => parameter.in === 'path');
    const route = { ...operation, parameters: structuredClone(parameters), responses: {} };
    delete route.requestBody;
    paths[path] = { ...paths[path], [method]: route };
  }
  const { securitySchemes } = contract.components;
  return { ...contract, tags: [], paths, components: { schemas: {}, headers: {}, securitySchemes } };
}

/** Returns a handler that gives the validator all of a request's operation, once it is found. */
function completeOperation(contract: Contract, { prepare }: LeanValidator, validateResponses: boolean): RequestHandler {
  const known = new Map<Operation, ReadOperation>();
  return (req, _res, next) => {
    const operation = operationOf(contract, req);
    if (operation && req.openapi) {
      const read = known.get(operation) ?? prepare(forValidator(contract, operation, validateResponses));
      known.set(operation, read);
      Object.assign(req.openapi, { schema: read.schema, _responseSchema: read.responseSchema });
    }
    next();
  };
}

/**
 * Returns a copy of an operation for the validator, which changes its input. The copy accepts
 * unescaped query values such as `{"a":1}`, as FastAPI does. It has no references: the validator
 * would compile each of them separately. It also has no body if the handler reads that.
 */
function forValidator(contract: Contract, operation: Operation, validateResponses: boolean): Operation {
  const read = validateResponses ? operation : { ...operation, responses: {} };
  const copy = withoutReferences(contract, read) as Operation;
  for (const parameter of parametersOf(contract, copy)) if (parameter.in === 'query') parameter.allowReserved = true;
  if (copy['x-reads-body']) delete copy.requestBody;
  return copy;
}

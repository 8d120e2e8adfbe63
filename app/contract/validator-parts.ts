import type { Request, RequestHandler } from 'express';
import { type Contract, type Operation, operationsOf, parametersOf, withoutReferences } from '../../spec/load.ts';
import { dateTimeFormat } from '../../spec/time.ts';
import { compilePathsOnce } from '../internals/compiled-paths.ts';
import { leanValidator } from '../internals/lean-validator.ts';
import { handlersNamed } from '../internals/validator-handlers.ts';
import { withKnownRoutes } from './known-routes.ts';
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

/** By contract and `validateResponses`: compiling takes a second, and tests start many servers. */
const configured = new WeakMap<Contract, Map<boolean, RequestHandler[]>>();
const authenticators = new WeakMap<Request, (req: Request) => Promise<true>>();

/**
 * Returns the handlers of express-openapi-validator for the contract. Servers with the same
 * contract share what it compiles.
 */
export function validatorParts(
  contract: Contract,
  { authenticate, validateResponses = false }: Wanted,
): ValidatorParts {
  const byResponses = configured.get(contract) ?? new Map<boolean, RequestHandler[]>();
  configured.set(contract, byResponses);
  const handlers = byResponses.get(validateResponses) ?? configure(contract, validateResponses);
  byResponses.set(validateResponses, handlers);
  return {
    route: [
      ...handlersNamed(handlers, 'pathParamsMiddleware'),
      ...handlersNamed(handlers, 'metadataMiddleware').map(withKnownRoutes),
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

function configure(contract: Contract, validateResponses: boolean): RequestHandler[] {
  compilePathsOnce();
  return leanValidator(forValidator(contract, validateResponses), {
    // The first failure is enough: ProblemList finds the others, up to its limit.
    validateRequests: { allErrors: false, allowUnknownQueryParameters: true },
    validateResponses,
    formats: { 'date-time': dateTimeFormat, 'pydantic-datetime': datetimeFormat },
    validateSecurity: { handlers: { OAuth2PasswordBearer: (req) => authenticators.get(req)?.(req) ?? false } },
    fileUploader: false,
    // The redirect to the reference page, and the files of that page.
    ignorePaths: /^\/(docs\/.*|console(\/(page|library)\/.*)?)?$/,
  });
}

/**
 * Returns a copy of what the validator reads of the contract, because it changes its input. The
 * copy accepts unescaped query values such as `{"a":1}`, as FastAPI does. It has no references: the
 * validator would compile each of them separately at every start. It also has no bodies that
 * handlers read.
 */
function forValidator(contract: Contract, validateResponses: boolean): Contract {
  const paths: Contract['paths'] = {};
  for (const { path, method, operation } of operationsOf(contract)) {
    const read = validateResponses ? operation : { ...operation, responses: {} };
    const copy = withoutReferences(contract, read) as Operation;
    for (const parameter of parametersOf(contract, copy)) if (parameter.in === 'query') parameter.allowReserved = true;
    if (copy['x-reads-body']) delete copy.requestBody;
    paths[path] = { ...paths[path], [method]: copy };
  }
  const { securitySchemes } = contract.components;
  // The validator sorts the tags.
  return { ...contract, tags: [], paths, components: { schemas: {}, headers: {}, securitySchemes } };
}

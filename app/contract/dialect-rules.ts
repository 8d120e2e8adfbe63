import type { RequestHandler } from 'express';
import { type Contract, parametersOf } from '../../spec/load.ts';
import { HttpError, ValidationFailure, valueError } from '../errors.ts';
import { isE2b } from '../http/dialect.ts';
import { bodyOf, operationOf } from './operation.ts';
import { isExploded, valuesIn } from './query.ts';

/**
 * Returns a handler that throws ValidationFailure for a repeated parameter on E2B's paths, unless
 * the parameter is an exploded list. So does E2B's server; FastAPI takes the last value.
 */
export function refuseRepeated(contract: Contract): RequestHandler {
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

/**
 * Throws HttpError 404 for a path with one slash too many at its end. The validator and the routers
 * accept such a path; FastAPI redirects it.
 */
export const refuseTrailingSlash: RequestHandler = (req, _res, next) => {
  const route = req.openapi?.openApiRoute;
  if (route === undefined || !req.path.endsWith(route.endsWith('/') ? '//' : '/')) return next();
  req.openapi = undefined;
  throw new HttpError(404, `Not Found: ${route} has no slash at its end`);
};

/**
 * Returns a handler that throws ValidationFailure if a required body is missing. The validator
 * treats an empty body as missing, but lets it pass if the schema has no required members.
 */
export function requireBody(contract: Contract): RequestHandler {
  return (req, _res, next) => {
    if (!bodyOf(operationOf(contract, req))?.required || req.body !== undefined) return next();
    throw new ValidationFailure([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  };
}

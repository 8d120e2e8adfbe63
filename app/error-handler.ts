import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import { StoreError, type StoreErrorCode } from '../db/errors.ts';
import { JsonError } from '../db/json/json.ts';
import type { Contract } from '../spec/load.ts';
import type { Context } from './context.ts';
import { jsonProblem } from './contract/json.ts';
import {
  breachOf,
  isBreach,
  isValidatorError,
  problemsOf,
  shownProblems,
  type ValidatorError,
} from './contract/problems/problems.ts';
import { HttpError, type Problem, ValidationFailure } from './errors.ts';
import { isE2b } from './http/dialect.ts';

const statusOf: Record<StoreErrorCode, number> = {
  not_found: 404,
  ended: 409,
  paused: 409,
  conflict: 409,
  invalid: 422,
  busy: 503,
  full: 507,
  inaccessible: 503,
  unusable: 500,
};

/** Answers what no route has answered. */
export const notFound: RequestHandler = () => {
  throw new HttpError(404);
};

/**
 * Turns any error into the shape of the path's dialect. FastAPI's: `{"detail": [...]}` for a request that breaks the
 * contract, else `{"detail": "..."}`. E2B's: `{"code", "message"}`, a broken contract being 400.
 */
export function errorHandler({
  contract,
  log,
  isTest,
}: Pick<Context, 'contract' | 'log' | 'isTest'>): ErrorRequestHandler {
  return (reported, req, res, next) => {
    if (res.headersSent) return next(reported);
    const failure = req.failure ?? reported;
    const breach = isTest && isValidatorError(failure) ? breachOf(contract, failure, req, res.statusCode) : null;
    const error = breach === null ? failure : new HttpError(500, breach);
    const problems = problemsIn(contract, error, req);
    const isForE2b = isE2b(req.path);
    if (problems && !isForE2b) return void res.status(422).json({ detail: problems });
    const { message, headers, ...found } = problems ? new HttpError(400, summaryOf(problems)) : toHttpError(error);
    // E2B's server knows no 422.
    const status = isForE2b && found.status === 422 ? 400 : found.status;
    if ((status === 500 && !(error instanceof HttpError)) || isOfDisk(error))
      log.error({ id: req.id, err: error }, 'request failed');
    res
      .status(status)
      .set(headers)
      .json(isForE2b ? { code: status, message } : { detail: message });
  };
}

function summaryOf(problems: Problem[]): string {
  const words = problems.map(({ type, loc, msg, ctx }) => {
    const cause = type === 'json_invalid' ? ` (${ctx?.error})` : '';
    return `${loc.join('.')}: ${msg}${cause}`;
  });
  return `validation error: ${words.join('; ')}`;
}

/** Returns what a request does wrong, fit to be shown, if that is what the error says of it. */
export function problemsIn(contract: Contract, error: unknown, req: Request): Problem[] | null {
  const problems = allProblemsIn(contract, error, req);
  return problems && shownProblems(problems, req);
}

function allProblemsIn(contract: Contract, error: unknown, req: Request): Problem[] | null {
  if (error instanceof ValidationFailure) return error.problems;
  // From the store: a body's JSON has been read by then, so it is the metadata that won't do.
  if (error instanceof JsonError) return [jsonProblem(error, ['body', 'metadata'], null)];
  return isValidatorError(error) && isBreach(error) ? problemsOf(contract, error, req) : null;
}

/** Returns any other error as what may be told of it. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof StoreError && error.code !== 'unusable') {
    const status = statusOf[error.code];
    return new HttpError(status, error.message, status === 503 ? { 'Retry-After': '1' } : {});
  }
  if (isValidatorError(error) && error.status < 500) return fromValidator(error);
  if (isExposed(error)) {
    const message = error.status === 413 ? `The request body is larger than ${error.limit} bytes` : undefined;
    return new HttpError(error.status, message);
  }
  return new HttpError(error instanceof URIError ? 404 : 500);
}

/** Whether somebody has to see to the machine. */
function isOfDisk(error: unknown): boolean {
  return error instanceof StoreError && (error.code === 'full' || error.code === 'inaccessible');
}

/** What express's body parsers throw for a request that is at fault. */
function isExposed(error: unknown): error is Error & { status: number; limit?: number } {
  return error instanceof Error && 'expose' in error && error.expose === true && 'status' in error;
}

/** The validator's own words name its inner paths; only 401 comes with ours. */
function fromValidator({ status, message, headers }: ValidatorError): HttpError {
  if (status === 401) return new HttpError(401, message, { 'WWW-Authenticate': 'Bearer' });
  // A path that can't be decoded names nothing.
  return new HttpError(status === 400 ? 404 : status, undefined, headers);
}

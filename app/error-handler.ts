import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { StoreError, type StoreErrorCode } from '../db/errors.ts';
import { JsonError } from '../db/json/json.ts';
import type { Contract } from '../spec/load.ts';
import type { Context } from './context.ts';
import { jsonProblem } from './contract/json.ts';
import { problemsOf } from './contract/problems/request-problems.ts';
import { responseBreach } from './contract/problems/response-breach.ts';
import { shownProblems } from './contract/problems/shown-problems.ts';
import { isBreach, isValidatorError, type ValidatorError } from './contract/problems/validator-error.ts';
import { HttpError, type Problem, ValidationFailure } from './errors.ts';
import { ConnectError, isConnect, sendConnectError } from './http/connect.ts';
import { isE2b } from './http/dialect.ts';
import { AgentError } from './machines/agent/error.ts';
import { MachineError, statusOfMachine } from './machines/error.ts';

const statusOf: Record<StoreErrorCode, number> = {
  not_found: 404,
  ended: 409,
  paused: 409,
  conflict: 409,
  key_used: 409,
  key_in_progress: 409,
  key_outcome_unknown: 409,
  invalid: 422,
  // InstaVM's client shows its user the message of a 403, but not of a 404 or 409.
  refused: 403,
  busy: 503,
  full: 507,
  inaccessible: 503,
  unusable: 500,
};

/** E2B's names of errors that its clients recognize. */
const errorCodeOf: { [code in StoreErrorCode]?: string } = {
  key_used: 'idempotency_request_mismatch',
  key_in_progress: 'idempotency_in_progress',
  key_outcome_unknown: 'idempotency_outcome_unknown',
};

/** Refuses requests that no route has answered. */
export const notFound: RequestHandler = () => {
  throw new HttpError(404);
};

/** Returns a more precise error for some errors, and any other error unchanged. */
export type Refine = (error: unknown, req: Request) => unknown;

/**
 * Returns the handlers that answer errors in the dialect of the path. FastAPI's is 422 with
 * `{"detail": [...]}` for a request that breaks the contract, and `{"detail": "..."}` otherwise.
 * E2B's is `{"code", "message"}`, with 400 for a request that breaks the contract. The remote
 * procedure calls among E2B's paths have Connect's errors.
 */
export function errorHandlers(context: Context, refinements: Refine[]): ErrorRequestHandler[] {
  const answer: ErrorRequestHandler = (reported, req, res, next) => {
    if (res.headersSent) return next(reported);
    const refined = refinements.reduce((error, refine) => refine(error, req), reported);
    answerError(context, req.failure ?? refined, req, res);
  };
  // Twice: when response validation refuses the first answer, the second handler reports that.
  return [answer, answer];
}

function answerError({ contract, log, isTest }: Context, failure: unknown, req: Request, res: Response): void {
  const breach = isTest && isValidatorError(failure) ? responseBreach(contract, failure, req, res.statusCode) : null;
  const error = breach === null ? failure : new HttpError(500, breach);
  const problems = problemsIn(contract, error, req);
  const isForE2b = isE2b(req.path);
  if (problems && !isForE2b) return void res.status(422).json({ detail: problems });
  const found = problems ? new HttpError(400, summaryOf(problems)) : toHttpError(error);
  const { message, headers, errorCode } = found;
  const status = isForE2b ? e2bStatusOf(found) : found.status;
  if (isUnexpected(error, status)) log.error({ id: req.id, err: error }, 'request failed');
  const body = isForE2b ? { code: status, message, error_code: errorCode } : { detail: message };
  if (status === 429 || status >= 500) res.set('Should-Retry', String(mayRepeat(error, status)));
  if (isConnect(req.path)) sendConnectError(req, res, found);
  else res.status(status).set(headers).json(body);
}

/**
 * Returns whether a client may send the request again, because nothing was written. After a failure
 * of the disk that is not certain.
 */
function mayRepeat(error: unknown, status: number): boolean {
  if (error instanceof StoreError && (error.isPartial || error.code === 'inaccessible')) return false;
  return status === 429 || status === 503;
}

/** E2B's server uses 422 for an `Idempotency-Key` of another request, and for nothing else. */
function e2bStatusOf({ status, errorCode }: HttpError): number {
  if (errorCode === errorCodeOf.key_used) return 422;
  return status === 422 ? 400 : status;
}

/**
 * Returns whether an operator should see the error: a bug, or a disk that is full or unreadable.
 */
function isUnexpected(error: unknown, status: number): boolean {
  if (error instanceof StoreError && (error.code === 'full' || error.code === 'inaccessible')) return true;
  return status === 500 && !(error instanceof HttpError);
}

function summaryOf(problems: Problem[]): string {
  const texts = problems.map(({ type, loc, msg, ctx }) => {
    const cause = type === 'json_invalid' ? ` (${ctx?.error})` : '';
    return `${loc.join('.')}: ${msg}${cause}`;
  });
  return `validation error: ${texts.join('; ')}`;
}

/**
 * Returns the problems of a request that breaks the contract, ready to send; null for other errors.
 */
export function problemsIn(contract: Contract, error: unknown, req: Request): Problem[] | null {
  const problems = allProblemsIn(contract, error, req);
  return problems && shownProblems(problems, req);
}

function allProblemsIn(contract: Contract, error: unknown, req: Request): Problem[] | null {
  if (error instanceof ValidationFailure) return error.problems;
  // The body was parsed before, so a JsonError now comes from the store, which checks metadata.
  if (error instanceof JsonError) return [jsonProblem(error, ['body', 'metadata'], null)];
  return isValidatorError(error) && isBreach(error) ? problemsOf(contract, error, req) : null;
}

/** Returns the HttpError to answer with: for an unknown error 500, without details. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof AgentError) return new ConnectError(error.code, error.message);
  if (error instanceof StoreError && error.code !== 'unusable') {
    const status = statusOf[error.code];
    return new HttpError(status, error.message, status === 503 ? { 'Retry-After': '1' } : {}, errorCodeOf[error.code]);
  }
  if (error instanceof MachineError) {
    const status = statusOfMachine[error.code];
    return new HttpError(status, error.message, status === 503 ? { 'Retry-After': '1' } : {});
  }
  if (isValidatorError(error) && error.status < 500) return fromValidator(error);
  if (isBodyParserError(error)) {
    const message = error.status === 413 ? `The request body is larger than ${error.limit} bytes` : undefined;
    return new HttpError(error.status, message);
  }
  // Express throws URIError for a path that can't be decoded.
  return new HttpError(error instanceof URIError ? 404 : 500);
}

/** Express's body parsers mark the errors that a client may see with `expose`. */
function isBodyParserError(error: unknown): error is Error & { status: number; limit?: number } {
  return error instanceof Error && 'expose' in error && error.expose === true && 'status' in error;
}

/**
 * The validator's messages name its internal paths, so only that of 401, which is ours, is kept.
 */
function fromValidator({ status, message, headers }: ValidatorError): HttpError {
  if (status === 401) return new HttpError(401, message, { 'WWW-Authenticate': 'Bearer' });
  // The validator answers 400 to a path that can't be decoded: nothing has such a path.
  return new HttpError(status === 400 ? 404 : status, undefined, headers);
}

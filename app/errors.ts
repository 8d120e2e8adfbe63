import { STATUS_CODES } from 'node:http';

/** A failure with a status and a message that is fit to be shown. */
export class HttpError extends Error {
  override name = 'HttpError';
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message = STATUS_CODES[status] ?? 'Error', headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** One entry of FastAPI's 422 body, in pydantic v2's words (its documentation, "Validation Errors"). */
export type Problem = {
  type: string;
  loc: (string | number)[];
  msg: string;
  /** What was sent, unless it takes too much room. */
  input?: unknown;
  ctx?: Record<string, unknown>;
};

/** Returns the problem of a value that has the right shape and can't be used; the message says why. */
export function valueError(loc: (string | number)[], message: string, input: unknown): Problem {
  return { type: 'value_error', loc, msg: `Value error, ${message}`, input };
}

/** Thrown for a request that has the right shape but a value that can't be used. */
export class ValidationFailure extends Error {
  override name = 'ValidationFailure';
  readonly problems: Problem[];

  constructor(problems: Problem[]) {
    super(problems.map(({ msg }) => msg).join('; '));
    this.problems = problems;
  }
}

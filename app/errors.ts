import { STATUS_CODES } from 'node:http';

/** An error with the status, message and headers to answer with. Clients see the message. */
export class HttpError extends Error {
  override name = 'HttpError';
  readonly status: number;
  readonly headers: Record<string, string>;
  /** What E2B's clients recognize the error by (`error_code`). */
  readonly errorCode: string | undefined;

  constructor(
    status: number,
    message = STATUS_CODES[status] ?? 'Error',
    headers: Record<string, string> = {},
    errorCode?: string,
  ) {
    super(message);
    this.status = status;
    this.headers = headers;
    this.errorCode = errorCode;
  }
}

/** An entry of FastAPI's 422 body, in the words of pydantic 2 ("Validation Errors" in its docs). */
export type Problem = {
  type: string;
  loc: (string | number)[];
  msg: string;
  /** The value that was sent; left out if it is too long. */
  input?: unknown;
  ctx?: Record<string, unknown>;
};

/** Returns the problem of a value that has the right type but can't be used. `message` says why. */
export function valueError(loc: (string | number)[], message: string, input: unknown): Problem {
  return { type: 'value_error', loc, msg: `Value error, ${message}`, input };
}

/** Thrown for a request that the contract accepts but that has a value that can't be used. */
export class ValidationFailure extends Error {
  override name = 'ValidationFailure';
  readonly problems: Problem[];

  constructor(problems: Problem[]) {
    super(problems.map(({ msg }) => msg).join('; '));
    this.problems = problems;
  }
}

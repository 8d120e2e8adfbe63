import type { Request, Response } from 'express';
import { HttpError } from '../errors.ts';
import { contentTypeOf } from './content-type.ts';

/** The HTTP status of each of Connect's error codes (connectrpc.com, "Error codes"). */
const statusOf = {
  canceled: 499,
  unknown: 500,
  invalid_argument: 400,
  deadline_exceeded: 504,
  not_found: 404,
  already_exists: 409,
  permission_denied: 403,
  resource_exhausted: 429,
  failed_precondition: 400,
  internal: 500,
  unimplemented: 501,
  unavailable: 503,
  unauthenticated: 401,
};

export type ConnectCode = keyof typeof statusOf;

/** An error of a remote procedure call, by its name in the Connect protocol. */
export class ConnectError extends HttpError {
  override name = 'ConnectError';
  readonly code: ConnectCode;

  constructor(code: ConnectCode, message: string) {
    super(statusOf[code], message);
    this.code = code;
  }
}

/** Connect's code for the statuses of errors that know none. */
const codeOf: Record<number, ConnectCode> = {
  400: 'invalid_argument',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'not_found',
  408: 'deadline_exceeded',
  413: 'resource_exhausted',
  415: 'unimplemented',
  417: 'invalid_argument',
  422: 'invalid_argument',
  429: 'resource_exhausted',
  501: 'unimplemented',
  502: 'unavailable',
  503: 'unavailable',
  504: 'deadline_exceeded',
  507: 'resource_exhausted',
};

/** Returns whether a path is one of E2B's Connect services, whose errors are Connect's. */
export function isConnect(path: string): boolean {
  return path.startsWith('/process.Process/') || path.startsWith('/filesystem.Filesystem/');
}

/**
 * Answers a failed call. A stream's errors are in its last message, and its status is 200. A caller
 * without a valid access token gets E2B's own shape, and so does a request that is no call.
 */
export function sendConnectError(req: Request, res: Response, error: HttpError): void {
  const { message, status, headers } = error;
  const stream = streamTypeOf(req);
  const isOutside = status === 405 || (status === 401 && !(error instanceof ConnectError));
  if (isOutside || !stream) {
    const code = isOutside ? status : codeFor(error);
    res
      .status(status === 422 ? 400 : status)
      .set(headers)
      .json({ code, message });
  } else {
    res.removeHeader('Should-Retry');
    res.status(200).set(headers).setHeader('Content-Type', stream);
    res.end(endOfStream({ code: codeFor(error), message }));
  }
}

/** Returns Connect's code for an error. */
export function codeFor(error: HttpError): ConnectCode {
  return error instanceof ConnectError ? error.code : (codeOf[error.status] ?? 'internal');
}

/** Returns the media type of a request that wants a stream; undefined for others. */
export function streamTypeOf(req: Request): string | undefined {
  return /^application\/connect\+(?:json|proto)(?=$|[ ;])/.exec(contentTypeOf(req).toLowerCase())?.[0];
}

/** Returns the last message of a stream. */
export function endOfStream(error?: { code: ConnectCode; message: string }): Buffer {
  return envelope(JSON.stringify({ error }), 0b10);
}

/** Returns a message of a stream: a byte of flags, the length in four bytes, and JSON. */
export function envelope(json: string, flags = 0): Buffer {
  const message = Buffer.allocUnsafe(5 + Buffer.byteLength(json));
  message.writeUInt8(flags);
  message.writeUInt32BE(message.length - 5, 1);
  message.write(json, 5);
  return message;
}

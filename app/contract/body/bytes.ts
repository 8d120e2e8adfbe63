import express, { type Request, type RequestHandler } from 'express';
import { HttpError, ValidationFailure, valueError } from '../../errors.ts';

/** The contract's description states this limit; test/contract/limits.test.ts compares the two. */
export const maxBodyBytes = 2 ** 20;

/**
 * Returns a handler that reads the wanted bodies into a Buffer. It throws HttpError 413 before it
 * reads more than the limit (express.raw alone would read all of it first), and ValidationFailure
 * for a body that its Content-Encoding does not decode.
 */
export function bytesReader(isWanted: (req: Request) => boolean): RequestHandler {
  const read = express.raw({ type: (req) => isWanted(req as Request), limit: maxBodyBytes });
  return (req, res, next) => {
    const { 'content-length': length, 'content-encoding': encoding } = req.headers;
    let isFinished = false;
    const finish = (error?: unknown) => {
      if (!isFinished) next(isDecodingError(error) && encoding ? encodingProblem(encoding) : error);
      isFinished = true;
    };
    if (!isWanted(req)) return next();
    if (Number(length) > maxBodyBytes) throw tooLarge();
    if (length === undefined) countBytes(req, () => finish(tooLarge()));
    read(req, res, finish);
  };
}

/** The rest of the body is not read, so the connection closes after the response. */
function tooLarge(): HttpError {
  return new HttpError(413, `The request body is larger than ${maxBodyBytes} bytes`, { Connection: 'close' });
}

function countBytes(req: Request, onTooMany: () => void): void {
  let count = 0;
  const add = (chunk: Buffer) => {
    count += chunk.length;
    if (count <= maxBodyBytes) return;
    req.off('data', add);
    onTooMany();
  };
  req.on('data', add);
}

function isDecodingError(error: unknown): boolean {
  return error instanceof Error && 'status' in error && error.status === 400;
}

function encodingProblem(encoding: string): ValidationFailure {
  return new ValidationFailure([
    valueError(['body'], `the body is not ${encoding}, as its Content-Encoding says`, null),
  ]);
}

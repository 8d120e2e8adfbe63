import type { ErrorRequestHandler, Request } from 'express';
import { StoreError } from '../../../db/errors.ts';
import type { JsonObject } from '../../../db/json/json.ts';
import { HttpError } from '../../errors.ts';

/** Returns the sandbox's id in the path. */
export function sandboxIdOf(req: Request): string {
  return withoutClientId(req.params.sandboxID as string);
}

/** Returns a sandbox's id without the `-<client id>` that E2B's older clients append to it. */
export function withoutClientId(id: string): string {
  return /^(i[a-z0-9]{20})-[a-z0-9]+$/.exec(id)?.[1] ?? id;
}

/**
 * Answers 404 in E2B's words for a sandbox that the caller does not have, has ended or is paused.
 */
export const unknownSandbox: ErrorRequestHandler = (error, req, _res, next) => {
  if (!(error instanceof StoreError)) return next(error);
  const { sandboxID } = req.params;
  if (error.code === 'not_found' || error.code === 'ended') {
    return next(new HttpError(404, `Sandbox "${sandboxID}" doesn't exist or you don't have access to it`));
  }
  next(error.code === 'paused' ? new HttpError(404, `Sandbox "${sandboxID}" is paused: resume it first`) : error);
};

/**
 * Returns the filter that E2B's clients write as `key=value&key=value`, with keys and values
 * percent-encoded before the whole is encoded as a query parameter. The query parser has decoded
 * the latter. Throws HttpError 400.
 */
export function metadataFilter(text: string | undefined): JsonObject {
  if (text === undefined) return {};
  try {
    const pairs = decoded(text).split('&').map(pairOf);
    return Object.fromEntries(pairs);
  } catch {
    throw new HttpError(400, 'Error parsing metadata');
  }
}

function pairOf(text: string): [string, string] {
  const parts = text.split('=');
  if (parts.length !== 2) throw new Error('not a pair');
  return [decoded(parts[0] as string), decoded(parts[1] as string)];
}

function decoded(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

import type { ErrorRequestHandler, Request } from 'express';
import { StoreError } from '../../../db/errors.ts';
import type { JsonObject } from '../../../db/json/json.ts';
import { HttpError } from '../../errors.ts';

/** The contract's bound, for what is cut down to it instead of refused. */
export const maxLifetimeSeconds = 86_400;

/** A refresh is never for less. */
export const minRefreshSeconds = 15;

/** Returns the id in the path. What E2B's older clients put behind it is dropped. */
export function sandboxIdOf(req: Request): string {
  return withoutClient(req.params.sandboxID as string);
}

/** Returns a sandbox's id without what E2B's older clients put behind it, a dash and a client's id. */
export function withoutClient(id: string): string {
  return /^(i[a-z0-9]{20})-[a-z0-9]+$/.exec(id)?.[1] ?? id;
}

/** Says in E2B's words that a caller has no such sandbox; an ended one is as good as none. */
export const unknownSandbox: ErrorRequestHandler = (error, req, _res, next) => {
  if (!(error instanceof StoreError)) return next(error);
  const { sandboxID } = req.params;
  if (error.code === 'not_found' || error.code === 'ended') {
    return next(new HttpError(404, `Sandbox "${sandboxID}" doesn't exist or you don't have access to it`));
  }
  next(error.code === 'paused' ? new HttpError(404, `Sandbox "${sandboxID}" is paused: resume it first`) : error);
};

/**
 * Returns the filter that E2B's clients write as `key=value&key=value`, percent-encoded once by part and once whole.
 * The framework has undone the query's own encoding. Throws HttpError 400.
 */
export function metadataFilter(text: string | undefined): JsonObject {
  if (text === undefined) return {};
  try {
    const pairs = unescaped(text).split('&').map(pairOf);
    return Object.fromEntries(pairs);
  } catch {
    throw new HttpError(400, 'Error parsing metadata');
  }
}

function pairOf(text: string): [string, string] {
  const parts = text.split('=');
  if (parts.length !== 2) throw new Error('not a pair');
  return [unescaped(parts[0] as string), unescaped(parts[1] as string)];
}

function unescaped(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

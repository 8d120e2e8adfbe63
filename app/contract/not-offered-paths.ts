import type { Request, RequestHandler, Response } from 'express';
import { findByApiKey } from '../../db/accounts/principals.ts';
import type { Contract, NotOfferedPaths } from '../../spec/load.ts';
import { patternOf } from '../../spec/responses.ts';
import { admit, createAuthenticator, credentialReader } from '../auth.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';
import { closeWebSocket, opensWebSocket } from '../http/web-socket.ts';
import { parseQuery } from './query.ts';

/**
 * The codes of a closed WebSocket: not offered, and no valid credential. Codes from 4000 on are
 * free to use.
 */
const notOffered = 4500;
const unauthenticated = 4401;

/** One path of the contract's `x-not-offered-paths`. */
type Refused = Omit<NotOfferedPaths, 'paths'> & { path: string; pattern: RegExp };

/**
 * Returns a handler that refuses requests for the contract's `x-not-offered-paths`: HttpError 501
 * with the reason, and 401 and 429 before that. It does not read the body. It answers WebSockets
 * itself, and passes all other requests on.
 */
export function refuseNotOfferedPaths(context: Context): RequestHandler {
  const all = refusedPaths(context.contract).filter((one) => !(context.machines && one.without_machines));
  const authenticate = createAuthenticator(context);
  const closeSocket = socketCloser(context);
  return (req, res, next) => {
    const found = all.find(({ pattern, methods }) => pattern.test(req.path) && isOneOf(methods, req.method));
    if (!found) return next();
    const { reason } = found;
    req.openapi = { openApiRoute: found.path };
    const refuse = () => next(new HttpError(501, reason));
    if (found.web_socket && opensWebSocket(req)) void closeSocket(req, res, reason).catch(next);
    else if (!found.security) void authenticate(req).then(refuse, next);
    else {
      context.limitRate(req);
      refuse();
    }
  };
}

/**
 * Returns the reason why a path of `x-not-offered-paths` is refused. Throws an Error for any other
 * path.
 */
export function reasonFor(contract: Contract, path: string): string {
  const found = contract['x-not-offered-paths'].find(({ paths }) => paths.includes(path));
  if (!found) throw new Error(`openapi.yaml has no ${path} in x-not-offered-paths`);
  return found.reason;
}

function refusedPaths(contract: Contract): Refused[] {
  return contract['x-not-offered-paths'].flatMap(({ paths, ...rest }) =>
    paths.map((path) => ({ ...rest, path, pattern: withRest(patternOf(path)) })),
  );
}

/** Returns the pattern of a path with a `*` at its end, which stands for the rest of the path. */
function withRest({ source }: RegExp): RegExp {
  return new RegExp(source.replace(/\\\*\$$/, '.+$'));
}

function isOneOf(methods: string[] | undefined, method: string): boolean {
  return methods === undefined || methods.includes(method);
}

/**
 * Returns a function that accepts a WebSocket and closes it with the reason, or because its
 * credential is not valid. InstaVM's client sends its API key as a query parameter. Throws
 * HttpError 429.
 */
function socketCloser(context: Context) {
  const { store, now, limitRate } = context;
  const readCredential = credentialReader(context);
  return async (req: Request, res: Response, reason: string): Promise<void> => {
    const { api_key: key } = parseQuery(req.url);
    const principal = (key && (await findByApiKey(store.db, now(), key))) || (await readCredential(req));
    if (principal) admit(req, principal, context);
    else limitRate(req);
    if (principal) closeWebSocket(req, res, notOffered, reason);
    else closeWebSocket(req, res, unauthenticated, 'The API key is not valid');
  };
}

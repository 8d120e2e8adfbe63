import type { IncomingHttpHeaders } from 'node:http';
import type { Request } from 'express';
import passport from 'passport';
import { Strategy as BearerStrategy } from 'passport-http-bearer';
import { findByApiKey, findPrincipal, type Principal } from '../db/accounts/principals.ts';
import type { Actor, Origin } from '../db/events/record.ts';
import type { Context } from './context.ts';
import { HttpError } from './errors.ts';

declare global {
  namespace Express {
    interface Request {
      /** The request's id in the log and in `X-Request-Id`. */
      id: string;
      /** The operation of the contract; set by the validator. */
      openapi?: { openApiRoute: string; pathParams?: Record<string, string> } | undefined;
      /** The id of the sandbox that the request created, for the log. */
      sandboxId?: string;
      /** Who sent the request; set on operations that have `security` in the contract. */
      principal?: Principal;
      /** The error of authentication, if it is not 401: the validator would replace it. */
      failure?: unknown;
    }
  }
}

type Lookup = (secret: string) => Promise<Principal | null>;

/** The passport strategy for an API key in `X-API-Key`. */
class ApiKeyStrategy extends passport.Strategy {
  override name = 'api-key';
  // Not a private field: passport calls `authenticate` on an object whose prototype is the
  // strategy, and such an object has no private fields.
  readonly find: Lookup;

  constructor(find: Lookup) {
    super();
    this.find = find;
  }

  override authenticate(req: { headers: IncomingHttpHeaders }): void {
    const key = req.headers['x-api-key'];
    if (typeof key !== 'string') {
      this.fail(401);
      return;
    }
    this.find(key).then(
      (principal) => (principal ? this.success(principal) : this.fail(401)),
      (error) => this.error(error),
    );
  }
}

/**
 * Returns a function that resolves to the principal of a request's credential; to false without a
 * valid one. It does not count against the rate limit.
 */
export function credentialReader({ store, now }: Context): (req: Request) => Promise<Principal | false> {
  const authenticator = new passport.Passport();
  authenticator.use(
    new BearerStrategy((token, done) => {
      findPrincipal(store.db, now(), token).then((principal) => done(null, principal ?? false), done);
    }),
  );
  authenticator.use(new ApiKeyStrategy((key) => findByApiKey(store.db, now(), key)));
  return (req) =>
    new Promise((resolve, reject) => {
      const settle = (error: unknown, found?: Principal | false | null) =>
        error ? reject(error) : resolve(found || false);
      const headers = credentialHeaders(req);
      authenticator.authenticate(['bearer', 'api-key'], { session: false }, settle)({ headers }, req.res, reject);
    });
}

/**
 * Returns the headers that passport reads. It sees nothing else, because the bearer strategy also
 * accepts tokens in the body and in the query, where they would be logged. Of several API keys,
 * which Node joins, the first counts, as in FastAPI.
 */
function credentialHeaders(req: Request): IncomingHttpHeaders {
  const token = bearerToken(req.headers.authorization);
  const isToken = token !== undefined && !/\s/.test(token);
  return {
    ...(isToken && { authorization: `Bearer ${token}` }),
    'x-api-key': req.headersDistinct['x-api-key']?.[0],
  };
}

/**
 * Returns the validator's handler for `OAuth2PasswordBearer`. It sets `req.principal` from a bearer
 * token (an access token or an API key) or from `X-API-Key`, whichever is valid. It throws
 * HttpError 401 without a valid credential. It throws other errors (403, 429, those of the store)
 * as well, and sets `req.failure` to them.
 */
export function createAuthenticator(context: Context): (req: Request) => Promise<true> {
  const readCredential = credentialReader(context);
  const authenticate = async (req: Request) => {
    const principal = await readCredential(req);
    if (principal) return admit(req, principal, context);
    context.limitRate(req);
    const message = isPresented(req) ? 'Could not validate credentials' : 'Not authenticated';
    throw new HttpError(401, message, { 'WWW-Authenticate': 'Bearer' });
  };
  return async (req) => {
    try {
      await authenticate(req);
      return true;
    } catch (error) {
      if (!(error instanceof HttpError && error.status === 401)) req.failure = error;
      throw error;
    }
  };
}

/**
 * Operations whose body decides whether they change anything. They call `requireWriter` themselves.
 */
const decidedByBody = new Set(['/v1/sandboxes/kill']);

/**
 * Sets the request's principal and records the use of their API key. Throws HttpError 429 past the
 * rate limit, and 403 when the request may change something and the key is read-only.
 */
export function admit(
  req: Request,
  principal: Principal,
  context: Pick<Context, 'now' | 'keyUse' | 'limitRate'>,
): void {
  const { now, keyUse, limitRate } = context;
  if (principal.keyId !== null) keyUse.set(principal.keyId, now());
  req.principal = principal;
  limitRate(req);
  if (!['GET', 'HEAD'].includes(req.method) && !decidedByBody.has(req.path)) requireWriter(req);
}

/** Throws HttpError 403 when the request's API key is read-only. */
export function requireWriter(req: Request): void {
  if (principalOf(req).isReadOnly) {
    throw new HttpError(403, "This API key may only read: use one with the permission 'write'");
  }
}

/** Returns who sent the request. Throws an Error on an operation without `security`. */
export function principalOf(req: Request): Principal {
  if (!req.principal) throw new Error(`${req.method} ${req.path} has no security in openapi.yaml`);
  return req.principal;
}

/** Returns the request's sender as the event log records it. Throws as principalOf does. */
export function actorOf(req: Request): Actor {
  const { user, keyId } = principalOf(req);
  return { ...originOf(req), ownerId: user.id, keyId };
}

/** Returns the origin of an event that has no principal: the request, without user and key. */
export function originOf({ id }: Request): Origin {
  return { via: 'api', keyId: null, requestId: id };
}

/** Returns whether a request carries a credential, valid or not. */
export function isPresented({ headers }: Pick<Request, 'headers'>): boolean {
  return Boolean(headers['x-api-key']) || bearerToken(headers.authorization) !== undefined;
}

/** Returns the text after `Bearer` and spaces (RFC 9110, 11.4); undefined if there is none. */
function bearerToken(authorization = ''): string | undefined {
  return /^Bearer +(.+)$/i.exec(authorization)?.[1];
}

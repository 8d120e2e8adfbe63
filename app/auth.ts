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
      /** Names the request in the log. */
      id: string;
      /** Set by the validator: which operation of the contract this is. */
      openapi?: { openApiRoute: string; pathParams?: Record<string, string> } | undefined;
      /** The sandbox that the request has made, for the log. */
      sandboxId?: string;
      /** Set on every operation that the contract puts behind `security`. */
      principal?: Principal;
      /** Why the credential couldn't be checked or didn't count: the validator would make another error of it. */
      failure?: unknown;
    }
  }
}

type Lookup = (secret: string) => Promise<Principal | null>;

/** Passport's shape of an API key in `X-API-Key`. */
class ApiKeyStrategy extends passport.Strategy {
  override name = 'api-key';
  // Not a private field: passport works on an object made from the strategy, which has none.
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

/** Returns a function that returns whom a request's credential speaks for, or false, and counts it against nobody. */
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
      // Only the headers: the bearer strategy would also take a token from the body or the query, where it gets logged.
      const token = bearerToken(req.headers.authorization);
      // Of several keys Node makes one text; the first counts, as in FastAPI.
      const key = req.headersDistinct['x-api-key']?.[0];
      // What is no token is unknown, like any other that is.
      const headers = { ...(token && !/\s/.test(token) && { authorization: `Bearer ${token}` }), 'x-api-key': key };
      authenticator.authenticate(['bearer', 'api-key'], { session: false }, settle)({ headers }, req.res, reject);
    });
}

/**
 * Returns the validator's handler for `OAuth2PasswordBearer`: it sets `req.principal` from a bearer token (an access
 * token or an API key) or from `X-API-Key`, whichever is valid.
 * The handler throws HttpError 401 when none is; where it can't tell, or they ask too often, it sets `req.failure` as well.
 */
export function createAuthenticator(context: Context): (req: Request) => Promise<true> {
  const authenticate = credentialReader(context);
  const check = async (req: Request) => {
    const principal = await authenticate(req);
    if (principal) return admit(req, principal, context);
    context.limitRate(req);
    throw new HttpError(401, isPresented(req) ? 'Could not validate credentials' : 'Not authenticated');
  };
  return async (req) => {
    try {
      await check(req);
      return true;
    } catch (error) {
      if (!(error instanceof HttpError && error.status === 401)) req.failure = error;
      throw error;
    }
  };
}

/** Operations that change something or not, as their body says: they call `requireWriter` themselves. */
const decidedByBody = new Set(['/v1/sandboxes/kill']);

/**
 * Notes whom the request speaks for, and that their key is in use. Throws HttpError 429 when they ask too often, 403
 * when the request changes something and the key may only read.
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

/** Throws HttpError 403 when the request's API key may only read. */
export function requireWriter(req: Request): void {
  if (principalOf(req).isReadOnly) throw new HttpError(403, 'This API key may only read');
}

/** Returns whom the request speaks for. Throws an Error on an operation without `security`. */
export function principalOf(req: Request): Principal {
  if (!req.principal) throw new Error(`${req.method} ${req.path} has no security in openapi.yaml`);
  return req.principal;
}

/** Returns who does what the request asks for, for the event log. Throws as principalOf does. */
export function actorOf(req: Request): Actor {
  const { user, keyId } = principalOf(req);
  return { ...originOf(req), ownerId: user.id, keyId };
}

/** As actorOf, of a request that speaks for nobody yet. */
export function originOf({ id }: Request): Origin {
  return { via: 'api', keyId: null, requestId: id };
}

/** Returns whether a request carries a credential, valid or not. */
export function isPresented({ headers }: Pick<Request, 'headers'>): boolean {
  return Boolean(headers['x-api-key']) || bearerToken(headers.authorization) !== undefined;
}

/** Returns what follows `Bearer`, after any number of blanks (RFC 9110, 11.4); undefined where nothing does. */
function bearerToken(authorization = ''): string | undefined {
  return /^Bearer +(.+)$/i.exec(authorization)?.[1];
}

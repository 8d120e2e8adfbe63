import { type Request, type RequestHandler, Router } from 'express';
import { MemoryStore, rateLimit } from 'express-rate-limit';
import { createAccessToken } from '../../../db/accounts/principals.ts';
import { findUserByPassword, type User } from '../../../db/accounts/users.ts';
import { inTransaction } from '../../../db/store.ts';
import type { components } from '../../../spec/types.gen.ts';
import { originOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { addressOf } from '../../http/rate-limit.ts';

type PasswordGrant = components['schemas']['PasswordGrant'];
type AccessToken = components['schemas']['AccessToken'];

/** The routes of the tag `auth`. */
export function authRoutes(context: Context): Router {
  const router = Router();
  router.post(
    '/v1/auth/token',
    limitFailures(context, 'address', addressOf),
    limitFailures(context, 'user', userKey),
    createToken(context),
  );
  router.post('/v1/auth/link', limitFailures(context, 'link', addressOf), redeemLink(context));
  return router;
}

function createToken(context: Context): RequestHandler {
  return async (req, res) => {
    const { username, password } = grantOf(req);
    const user = await findUserByPassword(context.store.db, username, password);
    if (!user) throw new HttpError(401, 'Incorrect username or password', { 'WWW-Authenticate': 'Bearer' });
    res.json(await tokenFor(context, req, user));
  };
}

function redeemLink(context: Context): RequestHandler {
  return async (req, res) => {
    const { token }: { token: string } = req.body;
    const made = await context.links.redeem(token, (user) => tokenFor(context, req, user));
    if (!made) throw new HttpError(401, usedLink, { 'WWW-Authenticate': 'Bearer' });
    res.json(made);
  };
}

const usedLink = 'This link was used already, or is older than ten minutes: sign in with an API key';

async function tokenFor({ store, now, config }: Context, req: Request, user: User): Promise<AccessToken> {
  const token = await inTransaction(store.db, (trx) =>
    createAccessToken(trx, now(), { ...originOf(req), user }, config.tokenSeconds),
  );
  return { access_token: token, token_type: 'bearer', expires_in: config.tokenSeconds };
}

/**
 * Returns the handler that counts failed logins per key and minute. Past the limit, it answers 429
 * with `Retry-After`.
 */
function limitFailures(
  { config, onReset }: Context,
  identifier: string,
  keyGenerator: (req: Request) => string,
): RequestHandler {
  const store = new MemoryStore();
  onReset(() => store.resetAll());
  return rateLimit({
    windowMs: 60_000,
    store,
    limit: config.loginAttempts,
    identifier,
    keyGenerator,
    skipSuccessfulRequests: true,
    requestWasSuccessful: (_req, res) => res.statusCode !== 401,
    standardHeaders: 'draft-6',
    legacyHeaders: false,
    handler: () => {
      throw new HttpError(429, 'Too many failed attempts: try again later');
    },
  });
}

/** Returns the key for a user's failures. It is cut, because no user name is longer than 64. */
function userKey(req: Request): string {
  return grantOf(req).username.slice(0, 65);
}

function grantOf(req: Request): PasswordGrant {
  return req.body;
}

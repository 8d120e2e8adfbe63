import { hash, timingSafeEqual } from 'node:crypto';
import type { Request } from 'express';
import { listLive } from '../../../../db/machines/read.ts';
import { Turns } from '../../../../db/turns.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { findRunningSandbox, isToken, machinesOf, type Target } from '../target.ts';

/** What a signature allows. */
export type FileOperation = 'read' | 'write';

type Query = { path?: string; username?: string; signature?: string; signature_expiration?: string };

/** Sandboxes that a signature without a sandbox is compared with, and those read at once. */
const maxCompared = 10_000;
const pageLength = 500;

/**
 * Returns a function that finds the sandbox of a request for a file, and checks its credential: the
 * access token if it is sent, otherwise the signature in the query. A signed URL need not name its
 * sandbox: every sandbox has a token of its own. The user is the one in the query. Throws what
 * `findTarget` throws, in the words of E2B's envd.
 */
export function findFileTarget(context: Context): (req: Request, operation: FileOperation) => Promise<Target> {
  const findRunning = findRunningSandbox(context);
  const findSigner = signerFinder(context);
  const { tokenOf } = machinesOf(context);
  return async (req, operation) => {
    const { username = '' } = req.query as Query;
    const isNamed = req.get('e2b-sandbox-id') !== undefined;
    const check = isNamed ? checkCredential : checkSignature;
    if (!isNamed) req.headers['e2b-sandbox-id'] = (await findSigner(req, operation)) ?? undefined;
    const checkFor = (id: string) => check(req, operation, tokenOf(id), context.now());
    const target = await findRunning(req, (id) => doesPass(() => checkFor(id)));
    checkFor(target.id);
    return { ...target, user: username };
  };
}

function doesPass(check: () => void): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

function checkCredential(req: Request, operation: FileOperation, token: string, now: number): void {
  if (!req.get('x-access-token')) checkSignature(req, operation, token, now);
  else if (!isToken(req, token)) throw new HttpError(401, 'access token present in header but does not match');
}

/** A signature that is wrong is reported before one that has expired. */
function checkSignature(req: Request, operation: FileOperation, token: string, now: number): void {
  const { signature, signature_expiration: expiration } = req.query as Query;
  if (!signature) throw new HttpError(401, 'missing signature query parameter');
  if (!isSigned(req, operation, token)) throw invalidSignature();
  if (expiration !== undefined && Number(expiration) < Math.floor(now / 1000)) {
    throw new HttpError(401, 'signature is already expired');
  }
}

/**
 * Returns whether the request's signature was made with this token. Takes the same time either way.
 */
function isSigned(req: Request, operation: FileOperation, token: string): boolean {
  const { path = '', username = '', signature = '', signature_expiration: expiration } = req.query as Query;
  if (expiration !== undefined && !/^\d{1,15}$/.test(expiration)) return false;
  const parts = [path, operation, username, token, ...(expiration === undefined ? [] : [Number(expiration)])];
  const expected = `v1_${hash('sha256', parts.join(':'), 'base64').replace(/=+$/, '')}`;
  return timingSafeEqual(hash('sha256', expected, 'buffer'), hash('sha256', signature, 'buffer'));
}

/**
 * Returns a function that finds the sandbox whose token made a request's signature; null if
 * the request has no signature. Throws HttpError 401 for a signature of none of them.
 */
function signerFinder(context: Context) {
  const { store, now } = context;
  const { tokenOf } = machinesOf(context);
  return async (req: Request, operation: FileOperation): Promise<string | null> => {
    if (!(req.query as Query).signature) return null;
    const turns = new Turns();
    let after = '';
    for (let compared = 0; compared < maxCompared; compared += pageLength) {
      const ids = await listLive(store.db, now(), after, pageLength);
      for (const id of ids) {
        if (isSigned(req, operation, tokenOf(id))) return id;
        await turns.next();
      }
      after = ids.at(-1) ?? '';
      if (ids.length < pageLength) break;
    }
    throw invalidSignature();
  };
}

function invalidSignature(): HttpError {
  return new HttpError(401, 'invalid signature');
}

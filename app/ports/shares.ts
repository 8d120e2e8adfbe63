import type { Request, RequestHandler, Response } from 'express';
import { findShare, type Share } from '../../db/machines/shares.ts';
import type { Context } from '../context.ts';
import { PortError, refuse } from './answers.ts';
import type { ForwardToPort } from './ports.ts';
import { shareFinder } from './target.ts';

const unknown = new PortError(404, 'Nothing is shared under this name, or it was revoked');

/** The responses under way of each share, which end when the share does. */
const underWay = new Map<string, Set<Response>>();

/** Ends all connections of a share at once. */
export function cutShare(id: string): void {
  for (const res of underWay.get(id) ?? []) {
    res.destroy();
    // A connection that was upgraded is no longer the response's.
    res.req.socket.destroy();
  }
}

/**
 * Returns the handler for requests to the names of shares. A public share is open to everyone;
 * others need the traffic token of the sandbox, as its ports do that are not public.
 */
export function forwardShares(
  context: Context,
  forward: ForwardToPort,
  admit: RequestHandler,
): (req: Request, res: Response) => boolean {
  const find = shareFinder(context);
  return (req, res) => {
    const id = find(req.headers);
    if (id === null) return false;
    admit(req, res, async (error) => {
      const share = error ? null : await findShare(context.store.db, id).catch(() => null);
      if (share) await forwardShare(share, req, res, forward);
      else refuse(req, res, { id, port: 0 }, unknown);
    });
    return true;
  };
}

async function forwardShare(
  { id, sandboxId, port, isPublic }: Share,
  req: Request,
  res: Response,
  forward: ForwardToPort,
) {
  // The client left while the share was looked for.
  if (res.closed) return;
  const all = underWay.get(id) ?? new Set();
  underWay.set(id, all.add(res));
  res.once('close', () => {
    all.delete(res);
    if (all.size === 0) underWay.delete(id);
  });
  await forward(req, res, { id: sandboxId, port }, isPublic ? { check: () => {} } : { isPrivate: true });
}

import type { Request, RequestHandler } from 'express';
import { randomUuid } from '../../db/random.ts';
import type { Context } from '../context.ts';
import { sandboxOfSession } from '../session-id.ts';
import { clientAddress } from './rate-limit.ts';
import { statusOf } from './request-metrics.ts';

/**
 * Gives every request an id, which its answer carries, and logs one line when it is over; `aborted` marks an answer
 * that was begun and not finished. Headers, bodies and queries are not logged: they hold credentials and callers' data.
 */
export function requestLog({ log }: Pick<Context, 'log'>): RequestHandler {
  return (req, res, next) => {
    req.id = randomUuid();
    res.setHeader('X-Request-Id', req.id);
    if (!log.isLevelEnabled('info')) return next();
    const begin = performance.now();
    // Asked now: a connection that is closed has no address any more.
    const client = clientAddress(req);
    res.once('close', () => {
      const route = req.openapi?.openApiRoute ?? null;
      const owner = req.principal?.user.name ?? null;
      const duration = Math.round((performance.now() - begin) * 1000) / 1000;
      const line = { id: req.id, method: req.method, route, status: statusOf(res), duration, owner, client };
      const sandbox = sandboxOf(req);
      log.info(
        { ...line, ...(sandbox && { sandbox }), ...(res.headersSent && !res.writableFinished && { aborted: true }) },
        'request',
      );
    });
    next();
  };
}

/** Returns the id of the sandbox that a request made or named, unless what it named can be no id. */
function sandboxOf({ sandboxId, openapi }: Request): string | undefined {
  const { vm_id: vmId, sandboxID, session_id: sessionId } = openapi?.pathParams ?? {};
  const id = sandboxId ?? vmId ?? sandboxID ?? (sessionId && sandboxOfSession(sessionId));
  return id && /^[\w-]{1,64}$/.test(id) ? id : undefined;
}

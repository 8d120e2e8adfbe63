import type { Request, RequestHandler } from 'express';
import { randomUuid } from '../../db/random.ts';
import { sandboxOfSession } from '../../db/sessions/session-id.ts';
import type { Context } from '../context.ts';
import { clientAddress } from './rate-limit.ts';
import { statusOf } from './request-metrics.ts';

/**
 * Returns the handler that gives every request an id, also sent as `X-Request-Id`, and logs one
 * line when the request ends. `aborted` marks a response that was begun and not finished. Headers,
 * bodies and queries are not logged, because they contain credentials and callers' data.
 */
export function requestLog({ log }: Pick<Context, 'log'>): RequestHandler {
  return (req, res, next) => {
    req.id = randomUuid();
    res.setHeader('X-Request-Id', req.id);
    if (!log.isLevelEnabled('info')) return next();
    const begin = performance.now();
    // A closed connection has no address.
    const client = clientAddress(req);
    res.once('close', () => {
      const route = req.openapi?.openApiRoute ?? null;
      const owner = req.principal?.user.name ?? null;
      const duration = Math.round((performance.now() - begin) * 1000) / 1000;
      const sandbox = sandboxOf(req);
      const line = {
        id: req.id,
        method: req.method,
        route,
        status: statusOf(res),
        duration,
        owner,
        client,
        ...(sandbox && { sandbox }),
        ...(res.headersSent && !res.writableFinished && { aborted: true }),
      };
      log.info(line, 'request');
    });
    next();
  };
}

/**
 * Returns the id of the sandbox that the request created or named; undefined if the path has no
 * valid id.
 */
function sandboxOf({ sandboxId, openapi }: Request): string | undefined {
  const { vm_id: vmId, sandboxID, session_id: sessionId } = openapi?.pathParams ?? {};
  const id = sandboxId ?? vmId ?? sandboxID ?? (sessionId && sandboxOfSession(sessionId));
  return id && /^[\w-]{1,64}$/.test(id) ? id : undefined;
}

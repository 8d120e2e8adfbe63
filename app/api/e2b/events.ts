import { type Request, type RequestHandler, Router } from 'express';
import { allEvents } from '../../../db/events/list.ts';
import { listSandboxEvents } from '../../../db/events/sandbox-events.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { type E2bType, e2bTypes, kindsByType, sandboxEvent } from '../../events/e2b.ts';
import { sandboxIdOf } from './request.ts';

/** How far a request can skip: the index is read up to there. */
const maxOffset = 10_000;

type Query = { offset: number; limit: number; orderAsc: boolean | string; types?: E2bType[] };

/** The routes of the tag `e2b-events` for events. */
export function e2bEventsRoutes(context: Context): Router {
  const router = Router();
  router.get(
    '/events/sandboxes',
    list(context, () => null),
  );
  router.get('/events/sandboxes/:sandboxID', list(context, sandboxIdOf));
  return router;
}

function list({ store }: Context, sandboxOf: (req: Request) => string | null): RequestHandler {
  return async (req, res) => {
    const { offset, limit, orderAsc, types } = req.query as unknown as Query;
    if (Number(offset) > maxOffset) throw new HttpError(400, tooFar);
    const found = await listSandboxEvents(store.db, {
      ...allEvents,
      ownerId: principalOf(req).user.id,
      kinds: (types ?? e2bTypes).flatMap((type) => kindsByType[type]),
      sandboxId: sandboxOf(req),
      order: String(orderAsc) === 'true' ? 'asc' : 'desc',
      offset: Number(offset),
      limit: Number(limit),
    });
    res.json(found.map(({ event, ...subject }) => sandboxEvent(event, subject)));
  };
}

const tooFar =
  `offset: at most ${maxOffset} events can be skipped. Read more of them with GET /v1/audit/events, ` +
  'whose pages follow one another without a limit';

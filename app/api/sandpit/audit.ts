import { type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { eventKinds } from '../../../db/events/kinds.ts';
import { type EventQuery, getEvent, listEvents } from '../../../db/events/log.ts';
import { wholeMilliseconds } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { readDatetime } from '../../contract/pydantic/datetime.ts';
import { eventId, eventOf, seqOf } from '../../events/shape.ts';
import { stream } from './event-stream.ts';

type Schemas = components['schemas'];

/** The routes of the tag `audit`. */
export function auditRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/audit/events', list(context));
  router.get('/v1/audit/events/:event_id', read(context));
  router.get('/v1/audit/catalog', (_req, res) => void res.json(catalog));
  router.get('/v1/events', stream(context));
  return router;
}

const catalog: Schemas['EventCatalog'] = {
  events: Object.entries(eventKinds).map(([kind, description]) => ({ kind, description })),
};

type ListQuery = {
  limit: number;
  order: EventQuery['order'];
  cursor?: string;
  kind?: string[];
  sandbox_id?: string;
  since?: string;
  until?: string;
  status?: string;
};

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const query = req.query as unknown as ListQuery;
    const wanted: EventQuery = {
      ownerId: principalOf(req).user.id,
      kinds: query.kind ?? null,
      sandboxId: query.sandbox_id ?? null,
      since: timeOf(query.since),
      until: timeOf(query.until),
      order: query.order,
      after: query.cursor === undefined ? null : seqOf(query.cursor),
      limit: Number(query.limit),
    };
    // Only actions that succeeded are recorded, so no event has another status.
    const canMatch = query.status === undefined || query.status === 'success';
    const { events, hasMore } = canMatch ? await listEvents(store.db, wanted) : { events: [], hasMore: false };
    const last = events.at(-1);
    const body = { events: events.map(eventOf), next_cursor: hasMore && last ? eventId(last.seq) : null };
    res.json(body satisfies Schemas['EventPage']);
  };
}

/**
 * Returns the first whole millisecond since 1970 at or after a time in the query; null for none.
 */
function timeOf(text: string | undefined): number | null {
  const time = text === undefined ? null : readDatetime(text);
  return time && wholeMilliseconds(time);
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    const seq = seqOf(req.params.event_id as string);
    if (seq === null) throw new StoreError('not_found', 'Event not found');
    res.json(eventOf(await getEvent(store.db, principalOf(req).user.id, seq)));
  };
}

import { type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { eventKinds, matchesKind } from '../../../db/events/kinds.ts';
import { type EventQuery, listEvents } from '../../../db/events/list.ts';
import { getEvent } from '../../../db/events/log.ts';
import { wholeMilliseconds } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { readDatetime } from '../../contract/pydantic/datetime.ts';
import { auditEventOf, eventId, eventOf, groupOf, seqOf, statusOf } from '../../events/shape.ts';
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
  catalog: Object.groupBy(Object.keys(eventKinds), groupOf) as Record<string, string[]>,
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
  event_type?: string;
  event_group?: string;
  vm_id?: string;
  session_id?: string;
  user_id?: string;
};

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const query = req.query as unknown as ListQuery;
    const ownerId = principalOf(req).user.id;
    const [sandboxId = null, ...otherIds] = sandboxIdsIn(query);
    const wanted: EventQuery = {
      ownerId,
      kinds: kindsIn(query),
      sandboxId,
      sessionId: query.session_id?.toLowerCase() ?? null,
      since: timeOf(query.since),
      until: timeOf(query.until),
      order: query.order,
      after: query.cursor === undefined ? null : seqOf(query.cursor),
      offset: 0,
      limit: Number(query.limit),
    };
    const canMatch = otherIds.length === 0 && Number(query.user_id ?? ownerId) === ownerId;
    const { events, next } = canMatch ? await listEvents(store.db, wanted) : { events: [], next: null };
    const body: Schemas['EventPage'] = {
      events: events.map(eventOf),
      items: events.map(auditEventOf),
      next_cursor: next === null ? null : eventId(next),
    };
    res.json(body);
  };
}

/** Returns the kinds that a query asks for by any of four parameters; null for all. */
function kindsIn({ kind, event_type: type, event_group: group, status }: ListQuery): string[] | null {
  if ([kind, type, group, status].every((each) => each === undefined)) return null;
  return Object.keys(eventKinds).filter(
    (each) =>
      (kind?.some((pattern) => matchesKind(pattern, each)) ?? true) &&
      (type ?? each) === each &&
      (group === undefined || groupOf(each) === group) &&
      (status ?? statusOf(each)) === statusOf(each),
  );
}

/** Returns the different ids of sandboxes that a query asks for by either of two parameters. */
function sandboxIdsIn({ sandbox_id: id, vm_id: vmId }: ListQuery): string[] {
  return [...new Set([id, vmId].filter((each) => each !== undefined))];
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
    const event = await getEvent(store.db, principalOf(req).user.id, seq);
    res.json({ ...eventOf(event), ...auditEventOf(event) } satisfies Schemas['FullEvent']);
  };
}

import { type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { eventKinds } from '../../../db/events/kinds.ts';
import { type EventQuery, getEvent, listEvents } from '../../../db/events/log.ts';
import { wholeMilliseconds } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { credentialReader, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { readDatetime } from '../../contract/pydantic/datetime.ts';
import { HttpError } from '../../errors.ts';
import { eventId, eventOf, placeIn, seqOf } from '../../events/shape.ts';
import { streamEvents } from '../../events/stream.ts';
import { releaseSlot } from '../../http/admission/slots.ts';

type Schemas = components['schemas'];

/** The contract's description names it. */
const maxStreamsPerOwner = 32;

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
      since: momentOf(query.since),
      until: momentOf(query.until),
      order: query.order,
      after: query.cursor === undefined ? null : seqOf(query.cursor),
      limit: Number(query.limit),
    };
    // What is in the log has happened.
    const isAny = query.status === undefined || query.status === 'success';
    const { events, hasMore } = isAny ? await listEvents(store.db, wanted) : { events: [], hasMore: false };
    const last = events.at(-1);
    const body = { events: events.map(eventOf), next_cursor: hasMore && last ? eventId(last.seq) : null };
    res.json(body satisfies Schemas['EventPage']);
  };
}

/** Returns the first whole millisecond since 1970 at or after a time in the query; null for none. */
function momentOf(text: string | undefined): number | null {
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

type StreamQuery = { kind?: string[]; sandbox_id?: string; last_event_id?: string };

function stream(context: Context): RequestHandler {
  const readCredential = credentialReader(context);
  const open = new Map<number, number>();
  const count = (ownerId: number, change: number) => open.set(ownerId, (open.get(ownerId) ?? 0) + change);
  return async (req, res) => {
    const ownerId = principalOf(req).user.id;
    const query = req.query as StreamQuery;
    const wanted = { ownerId, kinds: query.kind ?? null, sandboxId: query.sandbox_id ?? null };
    const place = placeIn(req.get('last-event-id'), query.last_event_id);
    if ((open.get(ownerId) ?? 0) >= maxStreamsPerOwner) {
      throw new HttpError(429, `There are ${maxStreamsPerOwner} open streams already: close one`, {
        'Retry-After': '1',
      });
    }
    count(ownerId, 1);
    res.once('close', () => count(ownerId, -1));
    const isAdmitted = async () => {
      const principal = await readCredential(req).catch(() => false as const);
      return principal !== false && principal.user.id === ownerId;
    };
    releaseSlot(res);
    // It has a patience of its own, with those who take nothing.
    req.socket.setTimeout(0);
    try {
      await streamEvents(context, res, wanted, place, isAdmitted);
    } catch (error) {
      if (!res.headersSent) throw error;
      context.log.error({ id: req.id, err: error }, 'a stream of events failed');
    }
  };
}

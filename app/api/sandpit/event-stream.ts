import type { RequestHandler } from 'express';
import { maxStreamsPerOwner } from '../../../spec/limits.ts';
import { credentialReader, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { lastEventSeq } from '../../events/shape.ts';
import { streamEvents } from '../../events/stream.ts';
import { releaseSlot } from '../../http/admission/slots.ts';

type StreamQuery = { kind?: string[]; sandbox_id?: string; last_event_id?: string };

/** `GET /v1/events`: the caller's events as they are recorded. */
export function stream(context: Context): RequestHandler {
  const readCredential = credentialReader(context);
  /** How many streams are open, by the id of their owner. */
  const open = new Map<number, number>();
  const count = (ownerId: number, change: number) => open.set(ownerId, (open.get(ownerId) ?? 0) + change);
  return async (req, res) => {
    const ownerId = principalOf(req).user.id;
    const query = req.query as StreamQuery;
    const filter = { ownerId, kinds: query.kind ?? null, sandboxId: query.sandbox_id ?? null };
    const after = lastEventSeq(req.get('last-event-id'), query.last_event_id);
    if ((open.get(ownerId) ?? 0) >= maxStreamsPerOwner) throw tooManyStreams();
    count(ownerId, 1);
    res.once('close', () => count(ownerId, -1));
    const isAdmitted = async () => {
      const principal = await readCredential(req).catch(() => false as const);
      return principal !== false && principal.user.id === ownerId;
    };
    releaseSlot(res);
    // Streams are silent between events, and have a deadline of their own for clients that do not
    // read.
    req.socket.setTimeout(0);
    try {
      await streamEvents(context, res, filter, after, isAdmitted);
    } catch (error) {
      if (!res.headersSent) throw error;
      context.log.error({ id: req.id, err: error }, 'a stream of events failed');
    }
  };
}

function tooManyStreams(): HttpError {
  const message = `There are ${maxStreamsPerOwner} open streams already: close one`;
  return new HttpError(429, message, { 'Retry-After': '1' });
}

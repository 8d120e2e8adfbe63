import type { Db } from '../store.ts';
import { type EventQuery, listEvents } from './list.ts';
import type { Event } from './log.ts';

/** An event, and what is known of its sandbox today. */
export type SandboxEvent = { event: Event; templateId: string | null; isDeleted: boolean };

/** Returns the events that a query selects, each with its sandbox's template. */
export async function listSandboxEvents(db: Db, wanted: EventQuery): Promise<SandboxEvent[]> {
  const { events } = await listEvents(db, wanted);
  const ids = [...new Set(events.map(({ sandboxId }) => sandboxId ?? ''))];
  const rows = await db.selectFrom('sandboxes').select(['id', 'template_id']).where('id', 'in', ids).execute();
  const templates = new Map(rows.map(({ id, template_id: templateId }) => [id, templateId]));
  return events.map((event) => ({
    event,
    templateId: templates.get(event.sandboxId ?? '') ?? null,
    isDeleted: !templates.has(event.sandboxId ?? ''),
  }));
}

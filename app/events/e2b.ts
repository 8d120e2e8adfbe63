import type { EventKind } from '../../db/events/kinds.ts';
import type { Event } from '../../db/events/log.ts';
import type { JsonObject } from '../../db/json/json.ts';
import { noTemplate } from '../../db/sandboxes/read.ts';
import { sessionOf } from '../../db/sessions/session-id.ts';
import { isoTime } from '../../spec/time.ts';
import type { components } from '../../spec/types.gen.ts';
import { eventId } from './shape.ts';

type Schemas = components['schemas'];
export type E2bType = Schemas['SandboxEventType'];

/** E2B's types of events, each with the kinds that it stands for. */
export const kindsByType: Record<E2bType, EventKind[]> = {
  'sandbox.lifecycle.created': ['vm.created'],
  'sandbox.lifecycle.updated': ['vm.updated'],
  'sandbox.lifecycle.killed': ['vm.killed', 'vm.expired', 'vm.died'],
  'sandbox.lifecycle.paused': ['vm.suspended', 'vm.auto_suspended'],
  'sandbox.lifecycle.resumed': ['vm.resumed'],
};

export const e2bTypes = Object.keys(kindsByType) as E2bType[];

const noBuild = '00000000-0000-0000-0000-000000000000';

/** Returns the id of an owner in the form of the ids that E2B gives to teams. */
export function teamIdOf(ownerId: number): string {
  return `00000000-0000-0000-0000-${ownerId.toString(16).padStart(12, '0')}`;
}

export type Subject = {
  /** null: the sandbox was deleted, or it has no template */
  templateId: string | null;
  isDeleted: boolean;
  metadata?: JsonObject | null;
};

/**
 * Returns `SandboxEvent` of E2B's API. An event without a type of E2B's keeps its own kind: a
 * webhook may be set to send such events through `/v1/webhooks`.
 */
export function sandboxEvent(event: Event, { templateId, isDeleted, metadata }: Subject): Schemas['SandboxEvent'] {
  const { seq, at, kind, ownerId, sandboxId, sessionId } = event;
  const { end_at: endAt } = JSON.parse(event.details) as { end_at?: string | null };
  const data = {
    ...(kind === 'vm.updated' && endAt && { set_timeout: endAt }),
    ...(metadata && { sandbox_metadata: metadata }),
  };
  return {
    version: 'v1',
    id: eventId(seq),
    type: typeOf(kind) ?? (kind as E2bType),
    eventData: Object.keys(data).length > 0 ? data : null,
    sandboxBuildId: noBuild,
    sandboxExecutionId: (sandboxId === null ? null : sessionOf({ id: sandboxId, sessionId })) ?? '',
    sandboxId: sandboxId ?? '',
    sandboxTeamId: teamIdOf(ownerId),
    sandboxTemplateId: isDeleted ? '' : (templateId ?? noTemplate),
    timestamp: isoTime(at),
  };
}

function typeOf(kind: EventKind): E2bType | undefined {
  return e2bTypes.find((type) => kindsByType[type].includes(kind));
}

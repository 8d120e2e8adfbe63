import { StoreError } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import { query } from '../prepared.ts';
import { createSandbox, type SandboxRequest } from '../sandboxes/create.ts';
import { findAnyonesSandbox, findSandbox, type Sandbox } from '../sandboxes/read.ts';
import type { Db, Trx } from '../store.ts';
import { sandboxOfSession, sessionOf } from './session-id.ts';

/** A session with its current or last sandbox. */
export type Session = {
  id: string;
  createdAt: number;
  /** of its last sandbox, as asked for; null: that was started without a session */
  lifetimeSeconds: number | null;
  sandbox: Sandbox;
};

/**
 * Returns the owner's session, or with `ownerId` null anyone's, which is only for what is public.
 * Null for an unknown session.
 */
export async function findSession(
  db: Db,
  now: number,
  ownerId: number | null,
  sessionId: string,
): Promise<Session | null> {
  const id = sessionId.toLowerCase();
  const [row] = await selectSession(db, { id });
  const sandboxId = row?.sandboxId ?? sandboxOfSession(id);
  if (sandboxId === null) return null;
  const sandbox =
    ownerId === null ? await findAnyonesSandbox(db, now, sandboxId) : await findSandbox(db, now, ownerId, sandboxId);
  // The id of a sandbox that was started in another session encodes no session.
  if (!sandbox || sessionOf(sandbox) !== id) return null;
  const createdAt = row?.createdAt ?? sandbox.firstStartedAt ?? sandbox.startedAt;
  return { id, createdAt, lifetimeSeconds: row?.lifetimeSeconds ?? null, sandbox };
}

/** Returns the owner's session. Throws StoreError `not_found`. */
export async function getSession(db: Db, now: number, ownerId: number | null, sessionId: string): Promise<Session> {
  const session = await findSession(db, now, ownerId, sessionId);
  if (!session) throw new StoreError('not_found', 'Sandbox not found');
  return session;
}

/** Starts a sandbox in a new session and returns it. Throws what `createSandbox` throws. */
export async function createSession(trx: Trx, now: number, by: Actor, request: SandboxRequest): Promise<Sandbox> {
  const sandbox = await createSandbox(trx, now, by, request);
  const { lifetimeSeconds } = request;
  const id = sessionOf(sandbox) as string;
  await putSession(trx, { id, ownerId: by.ownerId, sandboxId: sandbox.id, lifetimeSeconds, createdAt: now });
  return sandbox;
}

/**
 * Starts a sandbox in the owner's session, whose last sandbox has ended, and returns it.
 * Throws StoreError `refused` if the owner has no such session or its sandbox has not ended, and
 * what `createSandbox` throws.
 */
export async function createInSession(
  trx: Trx,
  now: number,
  by: Actor,
  sessionId: string,
  request: SandboxRequest,
): Promise<Sandbox> {
  const session = await findSession(trx, now, by.ownerId, sessionId);
  if (!session) {
    throw new StoreError('refused', `There is no session ${sessionId}: leave session_id out to start a new one`);
  }
  const { id, createdAt, sandbox: last } = session;
  if (last.status !== 'killed') {
    const reason = `The session ${id} has the sandbox ${last.id}, which has not ended`;
    throw new StoreError('refused', `${reason}: use it, or kill it first with DELETE /v1/vms/${last.id}`);
  }
  const sandbox = await createSandbox(trx, now, by, { ...request, sessionId: id });
  const { lifetimeSeconds } = request;
  await putSession(trx, { id, ownerId: by.ownerId, sandboxId: sandbox.id, lifetimeSeconds, createdAt });
  return sandbox;
}

type SessionRow = { sandboxId: string; createdAt: number; lifetimeSeconds: number };

const selectSession = query<{ id: string }, SessionRow>((db, value) =>
  db
    .selectFrom('sessions')
    .select(['sandbox_id as sandboxId', 'created_at as createdAt', 'lifetime_seconds as lifetimeSeconds'])
    .where('id', '=', value('id')),
);

type NewSession = { id: string; ownerId: number; sandboxId: string; lifetimeSeconds: number; createdAt: number };

const putSession = query<NewSession, unknown>((db, value) =>
  db
    .insertInto('sessions')
    .values({
      id: value('id'),
      owner_id: value('ownerId'),
      sandbox_id: value('sandboxId'),
      lifetime_seconds: value('lifetimeSeconds'),
      created_at: value('createdAt'),
    })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        sandbox_id: eb.ref('excluded.sandbox_id'),
        lifetime_seconds: eb.ref('excluded.lifetime_seconds'),
      })),
    ),
);

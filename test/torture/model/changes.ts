import { randomUUID } from 'node:crypto';
import type { Change, Vm } from './model.ts';

/** A request that changes something. `id` is null when it creates. */
export type Ask = { method: string; path: string; id: string | null; body?: object; change: Change };

type Random = () => number;

/** Returns a request to create a sandbox. */
export function creation(random: Random): Ask {
  const [metadata, lifetime] = [document(random), lifetimeOf(random)];
  const body = { metadata, vm_lifetime_seconds: lifetime, snapshot_id: 'torture' };
  const sets = {
    metadata,
    template_id: 'torture',
    name: 'torture',
    status: 'active',
    memory_mb: 512,
    vcpu_count: 2,
    auto_suspend: false,
    auto_resume: false,
    snapshot_on_terminate: false,
    devbox_name: null,
    devbox_template_slug: null,
  };
  return {
    method: 'POST',
    path: '/v1/vms',
    id: null,
    body,
    change: { sets, moves: { created_at: 0, ...run(lifetime) } },
  };
}

/** Returns a request that changes this sandbox, which has not ended. */
export function changeOf({ vm_id: id, status }: Vm, random: Random): Ask {
  const at = { id, path: `/v1/vms/${id}` };
  const dice = random();
  if (dice < 0.15) {
    return {
      ...at,
      method: 'DELETE',
      change: { sets: { status: 'killed', end_at: null, expires_at: null }, moves: {} },
    };
  }
  if (status === 'suspended' && dice < 0.6) return resumption(at, random);
  if (status === 'active' && dice < 0.35) {
    const path = `${at.path}/suspend`;
    return {
      id,
      method: 'POST',
      path,
      change: { sets: { status: 'suspended', end_at: null, expires_at: null }, moves: {} },
    };
  }
  return patch(at, random, status === 'active');
}

type At = { id: string; path: string };

function resumption({ id, path }: At, random: Random): Ask {
  const lifetime = lifetimeOf(random);
  const change = { sets: { status: 'active' }, moves: run(lifetime) };
  return { id, method: 'POST', path: `${path}/resume`, body: { vm_lifetime_seconds: lifetime }, change };
}

/** Changes metadata, the lifetime of a running sandbox, or both atomically. */
function patch(at: At, random: Random, isRunning: boolean): Ask {
  const dice = random();
  const metadata = dice < 0.75 || !isRunning ? { metadata: document(random) } : {};
  const lifetime = isRunning && dice > 0.25 ? lifetimeOf(random) : null;
  const body = { ...metadata, ...(lifetime !== null && { vm_lifetime_seconds: lifetime }) };
  const moves: Record<string, number> = lifetime === null ? {} : endsAfter(lifetime);
  return { ...at, method: 'PATCH', body, change: { sets: metadata, moves } };
}

/**
 * Metadata whose pairs show whether they belong together: unique pairs, shared ones, and large
 * ones that fill pages.
 */
function document(random: Random): Vm['metadata'] & Record<string, unknown> {
  const key = randomUUID();
  const filler = 'x'.repeat(Math.floor(random() ** 8 * 6000));
  const parts = Array.from({ length: Math.floor(random() * 4) }, (_, n) => `${n}-${key}`);
  return { key, common: true, tenth: Math.floor(random() * 10), nested: { key, parts }, filler };
}

/** An hour to a day, so that nothing expires during the run. */
function lifetimeOf(random: Random): number {
  return 3600 + Math.floor(random() * 80_000);
}

function run(lifetimeSeconds: number): Change['moves'] {
  return { started_at: 0, ...endsAfter(lifetimeSeconds) };
}

function endsAfter(lifetimeSeconds: number): Change['moves'] {
  return { end_at: lifetimeSeconds * 1000, expires_at: lifetimeSeconds * 1000 };
}

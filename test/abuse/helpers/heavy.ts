import type { JsonObject } from '../../../db/json/json.ts';
import { randomDigits } from '../../../db/random.ts';
import { SandboxInserter } from '../../../db/sandboxes/insert.ts';
import type { SqliteStore } from '../../../db/sqlite/open.ts';
import { inTransaction } from '../../../db/store.ts';

/** How much data the owner of the heavy requests has. */
export type Amount = { sandboxes: number; large: number; snapshots: number; events: number; deliveries: number };

const batchSize = 5000;

/** Sixty pairs that every seeded sandbox has. */
export const commonPairs = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`k${n}`, 'v']));

/** Returns metadata of 60,000 characters and very many pairs. */
export function largeMetadata(prefix: string): JsonObject {
  return Object.fromEntries(Array.from({ length: 6000 }, (_, n) => [`${prefix}${n}`.padEnd(5, '_'), 1]));
}

/**
 * Adds running sandboxes (the newest with large metadata), snapshots with large metadata and
 * events for an owner.
 */
export async function seedHeavy({ db, sqlite }: SqliteStore, ownerId: number, amount: Amount): Promise<void> {
  const now = Date.now();
  const { sandboxes, large } = amount;
  const document = largeMetadata('s');
  for (let from = 0; from < sandboxes; from += batchSize) {
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (let n = from; n < Math.min(sandboxes, from + batchSize); n++) {
        const metadata = n < sandboxes - large ? metadataOf(n) : document;
        await inserter.add({
          ...plain(ownerId, now),
          id: `i${randomDigits()}`,
          metadata,
          startedAt: now - sandboxes + n,
        });
      }
      await inserter.flush();
    });
  }
  sqlite.transaction(() => seedRest(sqlite, ownerId, now, amount, JSON.stringify(document)))();
}

function metadataOf(n: number): JsonObject {
  return { ...commonPairs, user: `u${n % 10_000}`, list: [{ a: n % 7, b: 1 }, { a: 9 }] };
}

function plain(ownerId: number, now: number) {
  const size = { memoryMb: 512, vcpuCount: 2 };
  return { ownerId, templateId: 'base', env: null, ...size, endAt: now + 86_400_000, status: 'active' as const };
}

function seedRest(sqlite: SqliteStore['sqlite'], ownerId: number, now: number, amount: Amount, metadata: string): void {
  const snapshot = sqlite.prepare(
    `insert into snapshots (id, owner_id, name, metadata, memory_mb, vcpu_count, created_at, updated_at)
    values (?, ?, ?, ?, 512, 2, ?, ?)`,
  );
  for (let n = 0; n < amount.snapshots; n++) {
    snapshot.run(`s${randomDigits()}`, ownerId, `name-${n}`, n < amount.large ? metadata : '{}', now + n, now + n);
  }
  const event = sqlite.prepare(
    `insert into events (at, kind, owner_id, subject, sandbox_id, via, details)
    values (?, 'vm.created', ?, 'i0', 'i0', 'api', '{"to":"active"}')`,
  );
  for (let n = 0; n < amount.events; n++) event.run(now, ownerId);
  seedDeliveries(sqlite, ownerId, now, amount.deliveries);
}

/** The oldest has failed, all the others succeeded. */
function seedDeliveries(sqlite: SqliteStore['sqlite'], ownerId: number, now: number, count: number): void {
  sqlite
    .prepare(
      `insert into webhook_endpoints (id, owner_id, url, event_patterns, enabled, secret, created_at, updated_at)
      values ('whe_heavy', ?, 'https://example.com/', '[]', 0, 'whsec_AAAA', ?, ?)`,
    )
    .run(ownerId, now, now);
  const delivery = sqlite.prepare(
    `insert into webhook_deliveries (id, endpoint_id, kind, body, status, attempts, round, created_at)
    values (?, 'whe_heavy', 'vm.created', '{"type":"vm.created","timestamp":"2026-01-01T00:00:00Z","data":{}}', ?, 1, 1, ?)`,
  );
  for (let n = 0; n < count; n++) delivery.run(`msg_${randomDigits()}`, n === 0 ? 'failed' : 'succeeded', now);
}

import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createApiKey } from '../../../db/accounts/api-keys.ts';
import { createUser } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { compileFilter } from '../../../db/metadata.ts';
import { type NewSandbox, SandboxInserter } from '../../../db/sandboxes/insert.ts';
import { listSandboxes } from '../../../db/sandboxes/lists/list.ts';
import { openStore } from '../../../db/sqlite/open.ts';
import { inTransaction } from '../../../db/store.ts';
import { type Dataset, ownersOf, type Row, rowAt } from '../data.ts';
import { reportProgress } from '../worker.ts';
import type { Side } from './side.ts';

/** The only file of the benchmarks that knows Sandpit's store, its tables and its command line. */

const now = Date.parse('2026-01-01T00:00:00Z');
const rowsPerTransaction = 10_000;
const program = fileURLToPath(new URL('../../../app/main.ts', import.meta.url));

export type Sandpit = Side & {
  /** Creates an API key for owner number `owner`, counted from 0. Returns the key. */
  addKey: (owner: number) => Promise<string>;
};

/** Opens a store in `file`, which is created if missing. */
export function openSandpit(file: string): Sandpit {
  const store = openStore(file);
  const userIds: number[] = [];
  const insert = (rows: Row[]) =>
    inTransaction(store.db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (const row of rows) await inserter.add(newSandbox(row, userIds[row.owner] as number));
      await inserter.flush();
    });
  return {
    variants: ['sandpit'],
    load: async (dataset) => {
      for (let owner = 0; owner < ownersOf(dataset); owner++) {
        const user = await inTransaction(store.db, (trx) => createUser(trx, now, cli, ownerName(owner), null));
        userIds.push(user.id);
      }
      await loadAll(dataset, insert);
      store.sqlite.pragma('wal_checkpoint(truncate)');
      return { bytes: statSync(file).size };
    },
    list: ({ owner, filter, limit }) =>
      listSandboxes(store.db, now, userIds[owner] as number, { filter: compileFilter(filter as never), limit }),
    create: (row) => insert([row]),
    addKey: (owner) =>
      inTransaction(store.db, (trx) => createApiKey(trx, now, { ...cli, ownerId: userIds[owner] as number }, 'bench')),
    close: () => store.close(),
  };
}

/** Returns the user name of an owner. */
export function ownerName(owner: number): string {
  return `owner${owner}`;
}

/** Returns a command line of `sandpit`. */
export function sandpitCommand(...args: string[]): string[] {
  return [process.execPath, program, ...args];
}

/** Returns the row as a line of an import file. */
export function recordLine({ id, owner, templateId, metadata, memoryMb, vcpuCount, startedAt, endAt, status }: Row) {
  return JSON.stringify({
    sandbox_id: id,
    owner: ownerName(owner),
    template_id: templateId,
    metadata,
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    started_at: new Date(startedAt).toISOString(),
    end_at: endAt === null ? null : new Date(endAt).toISOString(),
    status,
  });
}

/** The query of the bare servers: a user's newest sandboxes, by user name and limit. */
export const newestSandboxes = `
  select id, template_id, metadata, started_at, end_at, status from sandboxes
  where owner_id = (select id from users where name = ?)
  order by started_at desc, id limit cast(? as integer)`;

async function loadAll(dataset: Dataset, insert: (rows: Row[]) => Promise<void>): Promise<void> {
  for (let first = 0; first < dataset.size; first += rowsPerTransaction) {
    const length = Math.min(rowsPerTransaction, dataset.size - first);
    await insert(Array.from({ length }, (_, at) => rowAt(first + at, dataset)));
    reportProgress(`loading Sandpit, ${first + length} of ${dataset.size}`);
  }
}

function newSandbox({ owner: _, ...row }: Row, ownerId: number): NewSandbox {
  return { ...row, ownerId, env: null };
}

import pg from 'pg';
import { type Dataset, type Row, rowAt } from '../data.ts';
import { reportProgress } from '../worker.ts';
import type { Side } from './side.ts';

/** The operator classes of a GIN index over jsonb; each has its own table. */
const operatorClasses = ['jsonb_path_ops', 'jsonb_ops'];
/**
 * Plan modes of a prepared statement: PostgreSQL's choice, or a new plan for each set of values.
 */
const planModes = ['auto', 'force_custom_plan'];
const rowsPerTransaction = 10_000;

const recordColumns = `id text, owner_id int, template_id text, metadata jsonb, memory_mb int, vcpu_count int,
  started_at bigint, end_at bigint, status text`;

/**
 * Opens the database behind a PostgreSQL socket in a directory: on one connection, and on more for
 * clients that create at once.
 */
export function openPostgres(socketDirectory: string): Side {
  const client = new pg.Client({ host: socketDirectory, user: 'bench', database: 'postgres' });
  const connected = client.connect();
  const others: Promise<pg.Client>[] = [];
  const clientAt = (at: number): Promise<pg.Client> => {
    if (at === 0) return connected.then(() => client);
    others[at] ??= connectTo(socketDirectory);
    return others[at];
  };
  let currentMode = '';
  const setMode = async (mode: string) => {
    if (mode !== currentMode) await client.query(`set plan_cache_mode = ${mode}`);
    currentMode = mode;
  };
  return {
    variants: operatorClasses.flatMap((name) => planModes.map((mode) => `${name}/${mode}`)),
    load: async (dataset) => {
      await connected;
      for (const name of operatorClasses) await createTable(client, name);
      await loadAll(client, dataset);
      for (const name of operatorClasses) await finishTable(client, name);
      return { bytes: await sizeOf(client) };
    },
    list: async ({ name, variant, owner, filter, limit }) => {
      const [table = '', mode = ''] = variant.split('/');
      await setMode(mode);
      const { rows } = await client.query<{ id: string }>({
        name: `${name}/${variant}`,
        text: `select id, template_id, metadata::text, started_at, end_at, status from ${table}
          where owner_id = $1 and metadata @> $2::jsonb order by started_at desc, id limit $3`,
        values: [owner, JSON.stringify(filter), limit],
      });
      return rows;
    },
    create: async (row, at) =>
      (await clientAt(at)).query({
        name: 'create',
        text: `insert into jsonb_path_ops values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        values: Object.values(recordOf(row)),
      }),
    close: async () => {
      for (const other of await Promise.all(others)) await other?.end();
      await client.end();
    },
  };
}

async function connectTo(socketDirectory: string): Promise<pg.Client> {
  const client = new pg.Client({ host: socketDirectory, user: 'bench', database: 'postgres' });
  await client.connect();
  return client;
}

async function createTable(client: pg.Client, name: string): Promise<void> {
  await client.query(`drop table if exists ${name}`);
  await client.query(`create table ${name} (${recordColumns}, primary key (id))`);
}

async function loadAll(client: pg.Client, dataset: Dataset): Promise<void> {
  for (let first = 0; first < dataset.size; first += rowsPerTransaction) {
    const length = Math.min(rowsPerTransaction, dataset.size - first);
    const records = Array.from({ length }, (_, at) => recordOf(rowAt(first + at, dataset)));
    const text = `insert into jsonb_path_ops select * from jsonb_to_recordset($1) as records (${recordColumns})`;
    await client.query(text, [JSON.stringify(records)]);
    reportProgress(`loading PostgreSQL, ${first + length} of ${dataset.size}`);
  }
  await client.query('insert into jsonb_ops select * from jsonb_path_ops');
}

/** Indexes are built after loading, as pg_restore does. */
async function finishTable(client: pg.Client, name: string): Promise<void> {
  reportProgress(`indexing PostgreSQL, ${name}`);
  await client.query(`create index on ${name} (owner_id, started_at desc, id)`);
  await client.query(`create index on ${name} using gin (metadata ${name})`);
  await client.query(`vacuum (analyze) ${name}`);
}

async function sizeOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(`select pg_total_relation_size('jsonb_path_ops') as bytes`);
  return Number(rows[0]?.bytes);
}

function recordOf({ id, owner, templateId, metadata, memoryMb, vcpuCount, startedAt, endAt, status }: Row) {
  const sizes = { memory_mb: memoryMb, vcpu_count: vcpuCount };
  return {
    id,
    owner_id: owner,
    template_id: templateId,
    metadata,
    ...sizes,
    started_at: startedAt,
    end_at: endAt,
    status,
  };
}

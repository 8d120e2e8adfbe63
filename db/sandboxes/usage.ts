import { sql } from 'kysely';
import { query } from '../prepared.ts';
import type { SandboxStatus } from '../schema.ts';
import type { Db } from '../store.ts';
import { Turns } from '../turns.ts';

/** What sandboxes used on one day in UTC, by their records. */
export type DayUsage = { cpuHours: number; ramGibHours: number };

const day = 86_400_000;
const hour = 3_600_000;
const pageSize = 1024;

type Run = {
  position: number;
  id: string;
  startedAt: number;
  endAt: number | null;
  status: SandboxStatus;
  memoryMb: number;
  vcpuCount: number;
};

/**
 * Returns the usage of the owner's sandboxes, one entry for each of `days` days. The first day
 * begins at `from`, a midnight in UTC. Each sandbox counts with its current or last run: records
 * don't hold the runs before a sandbox was resumed.
 */
export async function usageByDay(
  db: Db,
  now: number,
  ownerId: number,
  { from, days }: { from: number; days: number },
  turns = new Turns(),
): Promise<DayUsage[]> {
  const cpu = new Array<number>(days).fill(0);
  const ram = new Array<number>(days).fill(0);
  for await (const run of runsIn(db, ownerId, from, from + days * day)) {
    const ended = run.endAt ?? (run.status === 'active' ? now : run.startedAt);
    // Never before the start: the clock may have been set back.
    const end = Math.max(run.startedAt, Math.min(now, ended));
    const first = Math.max(0, Math.floor((run.startedAt - from) / day));
    for (let n = first; n < days && from + n * day < end; n++) {
      const milliseconds = Math.min(end, from + (n + 1) * day) - Math.max(run.startedAt, from + n * day);
      cpu[n] = (cpu[n] as number) + milliseconds * run.vcpuCount;
      ram[n] = (ram[n] as number) + milliseconds * run.memoryMb;
    }
    await turns.next();
  }
  return cpu.map((sum, n) => ({ cpuHours: sum / hour, ramGibHours: (ram[n] as number) / 1024 / hour }));
}

/**
 * Yields every run that overlaps a period, page by page. It may also yield runs outside the period,
 * which add nothing to any of its days.
 */
async function* runsIn(db: Db, ownerId: number, from: number, to: number): AsyncGenerator<Run> {
  // A run of at most a day that reaches into the period starts within a day of it.
  const since = from - day;
  const started = { ownerId, since, until: to, cursorAt: null as number | null, cursorId: '', pageSize };
  for (let isMore = true; isMore; ) {
    const runs = await selectStarted(db, started);
    yield* runs;
    const last = runs.at(-1);
    if (last) Object.assign(started, { until: last.startedAt, cursorAt: last.startedAt, cursorId: last.id });
    isMore = runs.length === pageSize;
  }
  const long = { ownerId, since, end: from, position: -1, pageSize };
  for (let isMore = true; isMore; ) {
    const runs = await selectLong(db, long);
    yield* runs;
    const last = runs.at(-1);
    if (last) Object.assign(long, { end: last.endAt ?? never, position: last.position });
    isMore = runs.length === pageSize;
  }
}

const columns = [
  'position',
  'id',
  'started_at as startedAt',
  'end_at as endAt',
  'status',
  'memory_mb as memoryMb',
  'vcpu_count as vcpuCount',
] as const;

type Started = {
  ownerId: number;
  since: number;
  until: number;
  cursorAt: number | null;
  cursorId: string;
  pageSize: number;
};

const selectStarted = query<Started, Run>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(columns)
    .where('owner_id', '=', value('ownerId'))
    .where('started_at', '>=', value('since'))
    .where('started_at', '<=', value('until'))
    .where(sql<boolean>`(started_at is not ${value('cursorAt')} or id > ${value('cursorId')})`)
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(value('pageSize')),
);

/** The end of a run without an end, in the index of long runs. */
const never = 8_640_000_000_000_000;
const end = sql<number>`coalesce(end_at, ${sql.lit(never)})`;

type Long = { ownerId: number; since: number; end: number; position: number; pageSize: number };

/** The first two conditions are those of the index, without which SQLite does not use it. */
const selectLong = query<Long, Run>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(columns)
    .where(sql<boolean>`${end} - started_at > 86400000`)
    .where(sql<boolean>`(end_at is not null or status <> 'killed')`)
    .where('owner_id', '=', value('ownerId'))
    .where(end, '>=', value('end'))
    .where(sql<boolean>`(${end} is not ${value('end')} or position > ${value('position')})`)
    .where('started_at', '<', value('since'))
    .orderBy(end)
    .orderBy('position')
    .limit(value('pageSize')),
);

import type Database from 'better-sqlite3';
import { sql } from 'kysely';
import { eventKinds } from '../../events/kinds.ts';
import type { Db } from '../../store.ts';
import { connect, damageOf } from '../driver/connection.ts';
import { ordinalsPerOwner } from '../index/positions.ts';
import { checkIndex } from '../index/reindex.ts';
import { knownMigration, migrate, migrations } from '../migrations/migrate.ts';
import type { SqliteStore } from '../open.ts';
import { canGiveBackSpace } from '../space.ts';

const maxProblems = 20;

export type Finding = {
  check: CheckName;
  /** empty if all is well */
  problems: string[];
  /** what to report if all is well */
  note: string;
};

export type CheckName = keyof typeof checks;

type Outcome = Omit<Finding, 'check'>;

const checks = {
  integrity: ({ sqlite }: SqliteStore) => {
    const problems = damageOf(sqlite, 'integrity_check', maxProblems);
    return { problems, note: 'no page, row or index is damaged' };
  },
  'foreign keys': ({ sqlite }: SqliteStore) => {
    const rows = sqlite.prepare<[], Violation>('pragma foreign_key_check').all();
    const kinds = Map.groupBy(rows, ({ table, parent }) => `of ${table} refer to missing rows of ${parent}`);
    const problems = [...kinds].map(([kind, of]) => `${of.length} rows ${kind}`);
    return { problems, note: 'every reference leads to a row' };
  },
  migrations: ({ sqlite }: SqliteStore) => {
    const applied = sqlite.prepare('select id, name from migrations order by id').raw().all().map(String);
    const expected = migrations.map(({ id, name }) => `${id},${name}`).slice(0, applied.length);
    const isSame = applied.join() === expected.join();
    const problems = isSame ? [] : [`${applied.join(' ')} were applied instead of ${expected.join(' ')}`];
    const left = migrations.length - applied.length;
    return { problems, note: left > 0 ? `the next start of the server applies ${left}` : 'all are applied' };
  },
  schema: (store: SqliteStore) => {
    const [actual, expected] = [schemaOf(store.sqlite), expectedSchema(store)];
    const problems = [
      ...[...expected].filter(([name]) => !actual.has(name)).map(([name]) => `${name} is missing`),
      ...[...actual].filter(([name]) => !expected.has(name)).map(([name]) => `no migration creates ${name}`),
      ...[...actual].filter(([n, text]) => (expected.get(n) ?? text) !== text).map(([n]) => `${n} differs`),
    ];
    return { problems, note: 'it matches the migrations' };
  },
  ordinals: async ({ db }: SqliteStore) => {
    const { rows } = await selectDisorders(db);
    const misplaced = rows.filter((row) => row.misplaced > 0);
    const wrong = rows.filter(({ actual, recorded }) => actual > recorded);
    const late = rows.filter(({ recorded }) => recorded > 0).length;
    return {
      problems: [
        ...misplaced.map((row) => `${row.misplaced} sandboxes of user ${row.id} have another user's position`),
        ...wrong.map(
          (row) => `sandboxes of user ${row.id} are ${row.actual} ms out of order, but ${row.recorded} are recorded`,
        ),
      ],
      note: late > 0 ? `the sandboxes of ${late} users are out of order, as recorded` : 'all sandboxes are in order',
    };
  },
  'metadata index': async ({ db }: SqliteStore) => {
    const { sandboxes, errors } = await checkIndex(db);
    return { problems: errors, note: `it matches all ${sandboxes} sandboxes` };
  },
  events: ({ sqlite }: SqliteStore) => {
    // An earlier version's database has no event log.
    if (knownMigration(sqlite) < 4) return { problems: [], note: 'there is no event log yet' };
    const kinds = JSON.stringify(Object.keys(eventKinds));
    const { events, beyond, wrong } = sqlite.prepare<string, EventCounts>(countEvents).get(kinds) as EventCounts;
    return {
      problems: [
        ...(beyond > 0 ? [`${beyond} are after the recorded end of the log`] : []),
        ...(wrong > 0 ? [`${wrong} have an unknown kind, or details that are not a JSON object`] : []),
      ],
      note: `the log has ${events} events, in order`,
    };
  },
  space: ({ sqlite }: SqliteStore) => {
    const [pages, free] = ['page_count', 'freelist_count'].map((name) => Number(sqlite.pragma(name, { simple: true })));
    const kept = canGiveBackSpace(sqlite)
      ? ''
      : '; the file can never shrink, because an earlier version created it: --repair rewrites it';
    return { problems: [], note: `${free} of ${pages} pages are free${kept}` };
  },
} satisfies Record<string, (store: SqliteStore) => Outcome | Promise<Outcome>>;

type EventCounts = { events: number; beyond: number; wrong: number };

const countEvents = `
  select count(*) as events,
    count(*) filter (where seq > coalesce((select seq from sqlite_sequence where name = 'events'), 0)) as beyond,
    count(*) filter (where kind not in (select value from json_each(?))
      or iif(json_valid(details), json_type(details), '') <> 'object') as wrong
  from events`;

type Violation = { table: string; parent: string };

/**
 * Runs every check, each on a snapshot while other processes may write, and returns the findings.
 */
export async function examine(store: SqliteStore): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const check of Object.keys(checks) as CheckName[]) {
    findings.push({ check, ...(await outcomeOf(check, store)) });
  }
  return findings;
}

/**
 * Returns the schema that the applied migrations create: the SQL of each table and index by kind
 * and name.
 */
export function expectedSchema({ sqlite }: SqliteStore): Map<string, string> {
  const applied = knownMigration(sqlite);
  const fresh = connect(':memory:');
  try {
    migrate(
      fresh,
      migrations.filter(({ id }) => id <= applied),
    );
    return schemaOf(fresh);
  } finally {
    fresh.close();
  }
}

async function outcomeOf(check: CheckName, store: SqliteStore): Promise<Outcome> {
  try {
    return await checks[check](store);
  } catch (error) {
    return { problems: [`the check failed: ${error instanceof Error ? error.message : error}`], note: '' };
  }
}

/** Leaves out SQLite's own tables, such as those that `analyze` creates. */
function schemaOf(sqlite: Database.Database): Map<string, string> {
  const rows = sqlite
    .prepare<[], [string, string]>(
      "select type || ' ' || name, sql from sqlite_schema where name not like 'sqlite\\_%' escape '\\'",
    )
    .raw()
    .all();
  return new Map(rows.map(([name, text]) => [name, text.replace(/\s+/g, ' ')]));
}

type Disorder = { id: number; misplaced: number; actual: number; recorded: number };

function selectDisorders(db: Db) {
  return sql<Disorder>`
    select users.id, disorder_milliseconds as recorded, coalesce(max(lag), 0) as actual,
      count(*) filter (where position / ${sql.lit(ordinalsPerOwner)} <> users.id) as misplaced
    from users left join (
      select position, owner_id, max(started_at) over (partition by owner_id order by position) - started_at as lag
      from sandboxes
    ) on owner_id = users.id
    group by users.id
  `.execute(db);
}

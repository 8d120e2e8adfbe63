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
  /** what is wrong; nothing where all is well */
  problems: string[];
  /** what there is to say where all is well */
  note: string;
};

export type CheckName = keyof typeof checks;

type Outcome = Omit<Finding, 'check'>;

const checks = {
  integrity: ({ sqlite }: SqliteStore) => {
    const problems = damageOf(sqlite, 'integrity_check', maxProblems);
    return { problems, note: 'every page, row and index is sound' };
  },
  'foreign keys': ({ sqlite }: SqliteStore) => {
    const rows = sqlite.prepare<[], Violation>('pragma foreign_key_check').all();
    const kinds = Map.groupBy(rows, ({ table, parent }) => `of ${table} belong to no row of ${parent}`);
    const problems = [...kinds].map(([kind, of]) => `${of.length} rows ${kind}`);
    return { problems, note: 'every row belongs to one that is there' };
  },
  migrations: ({ sqlite }: SqliteStore) => {
    const applied = sqlite.prepare('select id, name from migrations order by id').raw().all().map(String);
    const expected = migrations.map(({ id, name }) => `${id},${name}`).slice(0, applied.length);
    const isSame = applied.join() === expected.join();
    const problems = isSame ? [] : [`applied are ${applied.join(' ')} instead of ${expected.join(' ')}`];
    const left = migrations.length - applied.length;
    return { problems, note: left > 0 ? `the next start of the server applies ${left}` : 'all are applied' };
  },
  schema: (store: SqliteStore) => {
    const [actual, expected] = [schemaOf(store.sqlite), expectedSchema(store)];
    const problems = [
      ...[...expected].filter(([name]) => !actual.has(name)).map(([name]) => `${name} is missing`),
      ...[...actual].filter(([name]) => !expected.has(name)).map(([name]) => `no migration makes ${name}`),
      ...[...actual].filter(([n, text]) => (expected.get(n) ?? text) !== text).map(([n]) => `${n} is another`),
    ];
    return { problems, note: 'it is what the migrations make' };
  },
  ordinals: async ({ db }: SqliteStore) => {
    const { rows } = await selectDisorders(db);
    const misplaced = rows.filter((row) => row.misplaced > 0);
    const wrong = rows.filter(({ actual, noted }) => actual > noted);
    const late = rows.filter(({ noted }) => noted > 0).length;
    return {
      problems: [
        ...misplaced.map((row) => `${row.misplaced} sandboxes of user ${row.id} lie with others'`),
        ...wrong.map((row) => `those of user ${row.id} are ${row.actual} ms out of order, noted are ${row.noted}`),
      ],
      note: late > 0 ? `those of ${late} users are out of order, and noted as such` : 'sandboxes lie in order',
    };
  },
  'metadata index': async ({ db }: SqliteStore) => {
    const { sandboxes, errors } = await checkIndex(db);
    return { problems: errors, note: `it agrees with all ${sandboxes} sandboxes` };
  },
  events: ({ sqlite }: SqliteStore) => {
    // An earlier version's database has none.
    if (knownMigration(sqlite) < 4) return { problems: [], note: 'there is no log yet' };
    const kinds = JSON.stringify(Object.keys(eventKinds));
    const { events, beyond, wrong } = sqlite.prepare<string, EventCounts>(countEvents).get(kinds) as EventCounts;
    return {
      problems: [
        ...(beyond > 0 ? [`${beyond} lie behind what is noted as the end of the log`] : []),
        ...(wrong > 0 ? [`${wrong} are of an unknown kind, or their details are no JSON object`] : []),
      ],
      note: `the log lists ${events}, in order`,
    };
  },
  space: ({ sqlite }: SqliteStore) => {
    const [pages, free] = ['page_count', 'freelist_count'].map((name) => Number(sqlite.pragma(name, { simple: true })));
    const kept = canGiveBackSpace(sqlite)
      ? ''
      : '; the file never becomes smaller, since an earlier version laid it out: --repair';
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

/** Makes every check, each on one state of the database while others write, and returns what it found. */
export async function examine(store: SqliteStore): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const check of Object.keys(checks) as CheckName[]) {
    findings.push({ check, ...(await outcomeOf(check, store)) });
  }
  return findings;
}

/** Returns the SQL of what the migrations that were applied make, by kind and name. */
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
    return { problems: [`it can't be checked: ${error instanceof Error ? error.message : error}`], note: '' };
  }
}

/** SQLite's own tables, those that `analyze` makes say, are its own affair. */
function schemaOf(sqlite: Database.Database): Map<string, string> {
  const rows = sqlite
    .prepare<[], [string, string]>(
      "select type || ' ' || name, sql from sqlite_schema where name not like 'sqlite\\_%' escape '\\'",
    )
    .raw()
    .all();
  return new Map(rows.map(([name, text]) => [name, text.replace(/\s+/g, ' ')]));
}

type Disorder = { id: number; misplaced: number; actual: number; noted: number };

function selectDisorders(db: Db) {
  return sql<Disorder>`
    select users.id, disorder_milliseconds as noted, coalesce(max(lag), 0) as actual,
      count(*) filter (where position / ${sql.lit(ordinalsPerOwner)} <> users.id) as misplaced
    from users left join (
      select position, owner_id, max(started_at) over (partition by owner_id order by position) - started_at as lag
      from sandboxes
    ) on owner_id = users.id
    group by users.id
  `.execute(db);
}

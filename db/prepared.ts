import { type Compilable, type CompiledQuery, type RawBuilder, sql } from 'kysely';
import type { Db } from './store.ts';

/** Stands in a query for a value that is given when it runs. */
class Placeholder {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Returns a function that runs the query with the given values. Kysely builds and compiles it once, which would
 * otherwise take several times as long as SQLite takes to answer.
 */
export function query<Values extends Record<string, unknown>, Row>(
  build: (
    db: Db,
    value: <Name extends keyof Values & string>(name: Name) => Values[Name],
  ) => Compilable<Row> | CompiledQuery<Row>,
): (db: Db, values: Values) => Promise<Row[]> {
  let compiled: CompiledQuery<Row> | undefined;
  return async (db, values) => {
    compiled ??= compile(build(db, (name) => placeholder(name) as never));
    const parameters = compiled.parameters.map((p) => (p instanceof Placeholder ? values[p.name] : p));
    const { rows } = await db.executeQuery<Row>({ ...compiled, parameters });
    return rows;
  };
}

/** With a plus: SQLite plans a query anew at each run, which takes longer than the run, when its plan may hang on a bare parameter. */
function placeholder(name: string): RawBuilder<unknown> {
  return sql`+${new Placeholder(name)}`;
}

function compile<Row>(built: Compilable<Row> | CompiledQuery<Row>): CompiledQuery<Row> {
  return 'compile' in built ? built.compile() : built;
}

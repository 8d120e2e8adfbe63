import { type Compilable, type CompiledQuery, type RawBuilder, sql } from 'kysely';
import { engineOf } from './engine.ts';
import type { Db } from './store.ts';

/** Stands in a compiled query for a value that is given when it runs. */
class Placeholder {
  readonly name: string;
  readonly isList: boolean;

  constructor(name: string, isList: boolean) {
    this.name = name;
    this.isList = isList;
  }
}

type ListNames<Values> = { [N in keyof Values]: Values[N] extends readonly unknown[] ? N : never }[keyof Values] &
  string;
type ItemOf<List> = List extends readonly (infer Item)[] ? Item : never;

/** Builds a query. `value` stands for a value, `list` for a list on the right side of `in`. */
type Build<Values, Row> = (
  db: Db,
  value: <Name extends keyof Values & string>(name: Name) => Values[Name],
  list: <Name extends ListNames<Values>>(name: Name) => RawBuilder<ItemOf<Values[Name]>>,
) => Compilable<Row> | CompiledQuery<Row>;

/**
 * Returns a function that runs the query with the given values. The query is built and compiled
 * once: doing so on each run would take several times as long as SQLite takes to answer.
 */
export function query<Values extends Record<string, unknown>, Row>(
  build: Build<Values, Row>,
): (db: Db, values: Values) => Promise<Row[]> {
  let compiled: CompiledQuery<Row> | undefined;
  return async (db, values) => {
    const { inList, listParameter, runNow } = engineOf(db);
    compiled ??= compile(
      build(
        db,
        (name) => placeholder(name, false) as never,
        (name) => inList(placeholder(name, true)) as never,
      ),
    );
    const parameters = compiled.parameters.map((parameter) => {
      if (!(parameter instanceof Placeholder)) return parameter;
      const value = values[parameter.name];
      return parameter.isList ? listParameter(value as unknown[]) : value;
    });
    // Kysely's way to an engine that answers at once takes several times as long as the answer.
    const now = runNow?.(db, compiled.sql, parameters);
    if (now) return now as Row[];
    const { rows } = await db.executeQuery<Row>({ ...compiled, parameters });
    return rows;
  };
}

/**
 * The unary plus keeps SQLite from planning the query again on each run, which takes longer than
 * running it: SQLite does so when the plan may depend on the value of a bare parameter.
 */
function placeholder(name: string, isList: boolean): RawBuilder<unknown> {
  return sql`+${new Placeholder(name, isList)}`;
}

function compile<Row>(built: Compilable<Row> | CompiledQuery<Row>): CompiledQuery<Row> {
  return 'compile' in built ? built.compile() : built;
}

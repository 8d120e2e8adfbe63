import { SqliteAdapter, sql } from 'kysely';
import type { Engine, EngineAdapter } from '../engine.ts';
import { isUniqueViolation } from './driver/failures.ts';
import { runGrouped } from './group.ts';
import { index } from './index/index.ts';

const shared: Engine = {
  transact: runGrouped,
  isUniqueViolation,
  inList: (parameter) => sql`(select value from json_each(${parameter}))`,
  listParameter: (values) => JSON.stringify(values),
  lastEventSeq: sql`coalesce((select seq from sqlite_sequence where name = 'events'), 0)`,
  index,
};

export class SqliteEngineAdapter extends SqliteAdapter implements EngineAdapter {
  readonly engine: Engine;

  constructor(own: Pick<Engine, 'runNow' | 'version'>) {
    super();
    this.engine = { ...shared, ...own };
  }
}

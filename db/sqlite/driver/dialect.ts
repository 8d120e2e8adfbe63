import type Database from 'better-sqlite3';
import {
  CompiledQuery,
  type DatabaseConnection,
  type SqliteDatabase,
  SqliteDialect,
  SqliteDriver,
  type SqliteStatement,
  type TransactionSettings,
} from 'kysely';
import type { Engine } from '../../engine.ts';
import { SqliteEngineAdapter } from '../engine.ts';
import { failureOf } from './failures.ts';

/** The program runs fewer distinct statements; this only bounds the cache. */
const maxStatements = 500;

/**
 * Kysely's SQLite dialect, except that a transaction takes the write lock when it begins unless it
 * is read-only. It can therefore not fail half-way because another process has the lock.
 */
export class ImmediateDialect extends SqliteDialect {
  readonly #sqlite: Database.Database;
  readonly #statements: SqliteDatabase;
  readonly #listeners: Iterable<() => void>;

  /** Calls the listeners, which must not throw, after each transaction that is not read-only. */
  constructor(sqlite: Database.Database, listeners: Iterable<() => void> = []) {
    super({ database: sqlite });
    this.#sqlite = sqlite;
    this.#statements = preparingOnce(sqlite);
    this.#listeners = listeners;
  }

  override createAdapter(): SqliteEngineAdapter {
    const runNow: Engine['runNow'] = (db, text, parameters) => {
      // A transaction has the connection to itself; others see nothing of it before its end.
      if (this.#sqlite.inTransaction !== db.isTransaction) return null;
      const statement = this.#statements.prepare(text);
      if (statement.reader) return statement.all(parameters);
      statement.run(parameters);
      return [];
    };
    return new SqliteEngineAdapter({ runNow, version: versionOf(this.#sqlite) });
  }

  override createDriver(): SqliteDriver {
    return new ImmediateDriver(this.#sqlite, this.#statements, this.#listeners);
  }
}

/** Both numbers only rise: one with this connection's changes, one with those of others. */
function versionOf(sqlite: Database.Database): () => string {
  let statements: Database.Statement<[], number>[] | undefined;
  return () => {
    statements ??= ['select total_changes()', 'pragma data_version'].map((text) =>
      sqlite.prepare<[], number>(text).pluck(),
    );
    return statements.map((statement) => statement.get()).join();
  };
}

/**
 * Caches prepared statements. Kysely prepares a statement on each run, which often costs more than
 * running it.
 */
function preparingOnce(sqlite: Database.Database): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    prepare: (text) => {
      const statement = statements.get(text) ?? prepare(sqlite, text);
      if (statements.size < maxStatements) statements.set(text, statement);
      return statement;
    },
    close: () => sqlite.close(),
  };
}

/** Returns a statement that throws the StoreErrors of `failureOf`. */
function prepare(sqlite: Database.Database, text: string): SqliteStatement {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw failureOf(sqlite, error);
    }
  };
  const statement = attempt(() => sqlite.prepare(text) as unknown as SqliteStatement);
  return {
    reader: statement.reader,
    all: (parameters) => attempt(() => statement.all(parameters)),
    run: (parameters) => attempt(() => statement.run(parameters)),
    iterate: (parameters) => statement.iterate(parameters),
  };
}

class ImmediateDriver extends SqliteDriver {
  readonly #sqlite: Database.Database;
  readonly #listeners: Iterable<() => void>;
  /** Belongs to the current transaction: a connection has one at a time. */
  #mayWrite = false;

  constructor(sqlite: Database.Database, statements: SqliteDatabase, listeners: Iterable<() => void>) {
    super({ database: statements });
    this.#sqlite = sqlite;
    this.#listeners = listeners;
  }

  override async beginTransaction(connection: DatabaseConnection, settings?: TransactionSettings): Promise<void> {
    this.#mayWrite = settings?.accessMode !== 'read only';
    await connection.executeQuery(CompiledQuery.raw(this.#mayWrite ? 'begin immediate' : 'begin'));
  }

  override async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await super.commitTransaction(connection);
    if (this.#mayWrite) for (const listener of this.#listeners) listener();
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // After a disk failure SQLite has already rolled back. A second rollback would fail and hide
    // the cause.
    if (this.#sqlite.inTransaction) await super.rollbackTransaction(connection);
  }
}

import { closeSync, existsSync, openSync, statfsSync } from 'node:fs';
import Database from 'better-sqlite3';
import {
  CompiledQuery,
  type DatabaseConnection,
  type SqliteDatabase,
  SqliteDialect,
  SqliteDriver,
  type SqliteStatement,
  type TransactionSettings,
} from 'kysely';
import { StoreError } from '../errors.ts';
import { maxWriteWaitMilliseconds } from '../store.ts';
import { embeddedAddon } from './addon.ts';

/** More than the program has; a bound all the same. */
const maxStatements = 500;

/** How large the write-ahead log's file stays once all of it is in the database. */
export const maxIdleWalBytes = 2 ** 24;

/** Returns a bare connection to a database. Throws what better-sqlite3 does. */
export function connect(file: string, options: Database.Options = {}): Database.Database {
  return new Database(file, { ...options, ...embeddedAddon() });
}

/**
 * Opens a database file, or `:memory:`, creating the file where there is none.
 * Throws StoreError `unusable` with the reason.
 */
export function openSqlite(file: string): Database.Database {
  try {
    // It holds the environments of sandboxes: nobody else's business. SQLite gives its other files the same mode.
    if (file !== ':memory:' && !existsSync(file)) closeSync(openSync(file, 'a', 0o600));
    const sqlite = connect(file, { timeout: maxWriteWaitMilliseconds });
    // Reading before the first pragma that writes: a file that isn't a database stays as it is.
    sqlite.prepare('select count(*) from sqlite_master').get();
    return sqlite;
  } catch (error) {
    throw unusable(file, error);
  }
}

/** Returns the version of SQLite. */
export function sqliteVersion(): string {
  const sqlite = openSqlite(':memory:');
  try {
    return sqlite.prepare('select sqlite_version()').pluck().get() as string;
  } finally {
    sqlite.close();
  }
}

/** Returns the StoreError `unusable` that says why the database can't be opened. */
export function unusable(file: string, cause: unknown): StoreError {
  return new StoreError('unusable', `can't open the database ${file}: ${reasonOf(cause)}`, { cause });
}

/** Sets what every connection needs; the file is ours by now. */
export function configure(sqlite: Database.Database): void {
  // Readers and the writer don't wait for one another, and one writer's commit is one fsync.
  sqlite.pragma('journal_mode = wal');
  // SQLite never shrinks the log by itself: whatever a reader made it grow to would stay.
  sqlite.pragma(`journal_size_limit = ${maxIdleWalBytes}`);
  // A commit returns once it is on disk: what was acknowledged survives a power cut.
  sqlite.pragma('synchronous = full');
  sqlite.pragma('foreign_keys = on');
  // 64 MiB instead of 2: rows of one list, and the ids and pairs of an import, lie far apart in the file.
  sqlite.pragma('cache_size = -65536');
  // Rows of one list lie far apart: mapped, those outside the cache are read a quarter faster than by calls.
  sqlite.pragma('mmap_size = 2147418112');
  // A wait inside SQLite would hold the whole process up; `write` waits without holding anything.
  sqlite.pragma('busy_timeout = 0');
}

/** Kysely's SQLite dialect, but a transaction that may write takes the write lock when it begins: it never fails half-way for want of it. */
export class ImmediateDialect extends SqliteDialect {
  readonly #sqlite: Database.Database;
  readonly #listeners: Iterable<() => void>;

  /** Calls the listeners, which must not throw, after each transaction that may write. */
  constructor(sqlite: Database.Database, listeners: Iterable<() => void> = []) {
    super({ database: sqlite });
    this.#sqlite = sqlite;
    this.#listeners = listeners;
  }

  override createDriver(): SqliteDriver {
    return new ImmediateDriver(this.#sqlite, this.#listeners);
  }
}

/** Kysely prepares a statement each time it runs one, which takes longer than most take to run. */
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

/** Returns a statement that throws StoreError `full` or `inaccessible` when the disk fails, `busy` when another process has the lock. */
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
  /** Of the transaction under way: there is one at a time. */
  #mayWrite = false;

  constructor(sqlite: Database.Database, listeners: Iterable<() => void>) {
    super({ database: preparingOnce(sqlite) });
    this.#sqlite = sqlite;
    this.#listeners = listeners;
  }

  override async beginTransaction(connection: DatabaseConnection, settings?: TransactionSettings): Promise<void> {
    this.#mayWrite = settings?.accessMode !== 'read only';
    await connection.executeQuery(CompiledQuery.raw(this.#mayWrite ? 'begin immediate' : 'begin'));
  }

  override async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await super.commitTransaction(connection);
    if (this.#mayWrite) for (const told of this.#listeners) told();
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // Where the disk fails SQLite has rolled back by itself; asked again it would complain, and hide why it did.
    if (this.#sqlite.inTransaction) await super.rollbackTransaction(connection);
  }
}

/** Returns what is wrong with the pages of a database, by `quick_check` or the slower `integrity_check`: nothing when it is sound. */
export function damageOf(sqlite: Database.Database, check: 'quick_check' | 'integrity_check', limit: number): string[] {
  const rows = sqlite.prepare<[], string>(`pragma ${check}(${limit})`).pluck().all();
  return rows.flatMap((row) => row.split('\n')).filter((line) => line !== 'ok' && !line.startsWith('***'));
}

export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === 'SQLITE_CONSTRAINT_UNIQUE' || codeOf(error) === 'SQLITE_CONSTRAINT_PRIMARYKEY';
}

/** Says whether another process keeps what was asked for. */
export function isBusy(error: unknown): boolean {
  return codeOf(error)?.startsWith('SQLITE_BUSY') ?? false;
}

/** Returns the StoreError for a failing disk or a lock that another process has; any other error as it is. */
function failureOf({ name }: Database.Database, error: unknown): unknown {
  const code = codeOf(error);
  if (isBusy(error)) return new StoreError('busy', 'the database is busy with another process', { cause: error });
  if (!code || !diskCode.test(code)) return error;
  return code === 'SQLITE_FULL' || isFull(name)
    ? new StoreError('full', 'The disk is full: nothing can be written until there is room', { cause: error })
    : new StoreError('inaccessible', 'The database is read-only, or its disk fails', { cause: error });
}

const diskCode = /^SQLITE_(FULL|READONLY|IOERR|CANTOPEN)/;

/** SQLite says `SQLITE_FULL` of a write that found no room, but `SQLITE_IOERR` of other calls that found none. */
function isFull(file: string): boolean {
  try {
    return statfsSync(file).bavail === 0;
  } catch {
    return false;
  }
}

/** Says whether the file was removed, or another put in its place, since it was opened. */
export function isMoved(error: unknown): boolean {
  return codeOf(error) === 'SQLITE_READONLY_DBMOVED';
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Database.SqliteError ? error.code : undefined;
}

/** Returns in words why a database file can't be used. */
export function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'its folder does not exist';
  if (code === 'EISDIR') return 'it is a folder';
  if (code === 'EROFS') return 'its file system is read-only';
  if (code === 'EACCES' || code === 'EPERM' || code?.startsWith('SQLITE_READONLY')) return 'this user may not write it';
  if (code === 'ENOSPC' || code === 'SQLITE_FULL') return 'the disk is full';
  if (codeOf(error) === 'SQLITE_NOTADB') return 'the file is not a SQLite database';
  if (codeOf(error)?.startsWith('SQLITE_CANTOPEN')) return 'it is not a file, or this user may not read or write it';
  return error instanceof Error ? error.message : String(error);
}

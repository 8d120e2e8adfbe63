import { query } from '../prepared.ts';
import type { Db, Trx } from '../store.ts';
import type { LogLevel, TemplateBuildLogsTable } from './tables.ts';

/** What a build has said. `step` is as in `Build.failedStep`. */
export type LogEntry = { at: number; level: LogLevel; step: string | null; message: string };

/** Bounds of a build's log. */
export const maxEntries = 5_000;
export const maxLogBytes = 1_048_576;
/** The length of a message, in UTF-16 code units. */
export const maxMessageLength = 4_096;

/** From the least to the most important. */
export const logLevels: LogLevel[] = ['debug', 'info', 'warn', 'error'];

/**
 * Adds to the log of a build. Once it is full, an entry says so, and what follows is dropped:
 * clients read on from where they were, so that old entries stay. Long messages are shortened. Does
 * nothing for a build that is gone.
 */
export async function appendLog(trx: Trx, id: string, entries: LogEntry[]): Promise<void> {
  const build = trx.selectFrom('template_builds').select(['log_entries', 'log_bytes']).where('id', '=', id);
  const found = await build.executeTakeFirst();
  if (!found) return;
  let { log_entries: seq, log_bytes: bytes } = found;
  const isFull = () => seq >= maxEntries || bytes >= maxLogBytes;
  const rows: TemplateBuildLogsTable[] = [];
  for (const { message, ...entry } of entries) {
    if (isFull()) break;
    const text = shortened(message);
    rows.push({ build_id: id, seq: seq++, ...entry, message: text });
    bytes += Buffer.byteLength(text);
    if (isFull()) rows.push({ build_id: id, seq: seq++, ...entry, level: 'warn', message: full });
  }
  for (const row of rows) await trx.insertInto('template_build_logs').values(row).execute();
  const columns = { log_entries: seq, log_bytes: bytes };
  await trx.updateTable('template_builds').set(columns).where('id', '=', id).execute();
}

const full = 'The log of this build is full: what follows is not shown';

function shortened(message: string): string {
  const plain = message.toWellFormed();
  return plain.length <= maxMessageLength ? plain : `${plain.slice(0, maxMessageLength - 1).toWellFormed()}…`;
}

/** Which entries to read: the first `offset` of those that are important enough are left out. */
export type LogQuery = { offset: number; limit: number; level: LogLevel };

/** Returns entries of a build's log, oldest first. */
export async function readLog(db: Db, id: string, { offset, limit, level }: LogQuery): Promise<LogEntry[]> {
  // `seq` has no gaps, so that the first entries of a long log cost nothing.
  if (level === 'debug') return selectFrom(db, { id, offset, limit });
  const wanted = db.selectFrom('template_build_logs').select(columns).where('build_id', '=', id);
  const important = wanted.where('level', 'in', logLevels.slice(logLevels.indexOf(level)));
  return important.orderBy('seq').limit(limit).offset(offset).execute();
}

const columns = ['at', 'level', 'step', 'message'] as const;

const selectFrom = query<{ id: string; offset: number; limit: number }, LogEntry>((db, value) =>
  db
    .selectFrom('template_build_logs')
    .select(columns)
    .where('build_id', '=', value('id'))
    .where('seq', '>=', value('offset'))
    .orderBy('seq')
    .limit(value('limit')),
);

/** Entries from a time on, or backward from it; null: from the oldest, or from the newest. */
export type LogWindow = { cursor: number | null; isBackward: boolean; limit: number; level: LogLevel };

/** Returns entries of a build's log in the order that is asked for. */
export async function readLogAround(db: Db, id: string, window: LogWindow): Promise<LogEntry[]> {
  const { cursor, isBackward, limit, level } = window;
  return db
    .selectFrom('template_build_logs')
    .select(columns)
    .where('build_id', '=', id)
    .where('level', 'in', logLevels.slice(logLevels.indexOf(level)))
    .$if(cursor !== null, (query) => query.where('at', isBackward ? '<=' : '>=', cursor as number))
    .orderBy('seq', isBackward ? 'desc' : 'asc')
    .limit(limit)
    .execute();
}

/** Returns the last entries of a step of a build, at most `limit`, oldest first. */
export async function lastOfStep(db: Db, id: string, step: string, limit: number): Promise<LogEntry[]> {
  const said = db.selectFrom('template_build_logs').select(columns).where('build_id', '=', id).where('step', '=', step);
  return (await said.orderBy('seq', 'desc').limit(limit).execute()).reverse();
}

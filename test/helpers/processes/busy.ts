import Database from 'better-sqlite3';
import type { TestApp } from '../server.ts';

/** Runs `work` while another connection holds the write lock of the app's database. */
export async function withWriteLock(app: TestApp, work: () => Promise<void>): Promise<void> {
  const other = new Database(app.server.context.config.db);
  try {
    other.exec('begin immediate');
    await work();
  } finally {
    other.close();
  }
}

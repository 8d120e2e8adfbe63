import type { Config } from '../../app/config/settings.ts';
import { failBuild, finishBuild } from '../../db/builds/finish.ts';
import { appendLog, type LogEntry } from '../../db/builds/log.ts';
import { inTransaction } from '../../db/store.ts';
import { actor, startTime } from '../helpers/server.ts';
import { FakeDriver } from '../lifecycle/fake-driver.ts';
import { type Lifecycle, startLifecycle } from '../lifecycle/lifecycle.ts';

/** What `POST /v3/templates` answers. */
export type Requested = { templateID: string; buildID: string; names: string[]; tags: string[]; aliases: string[] };

/** An application in which nothing builds: a test says how builds go on. */
export type Builds = Lifecycle & {
  /** the builds that were begun and given up */
  started: string[];
  cancelled: string[];
  request: (name: string, more?: object) => Promise<Requested>;
  start: (build: Requested, body?: object) => Promise<number>;
  say: (build: Requested, entries: Partial<LogEntry>[]) => Promise<void>;
  /** Ends a build as ready. Returns whether a snapshot was recorded. */
  finish: (build: Requested, ref?: string) => Promise<boolean>;
  fail: (build: Requested, step?: string | null) => Promise<void>;
  statusOf: (build: Requested, query?: string) => Promise<{ status: number; body: Record<string, never> }>;
};

export const setup = { user: 'root', workdir: '/app', env: { A: '1' }, startCmd: null, readyCmd: null };

let refs = 0;

export async function startBuilds(driver = new FakeDriver(), config: Partial<Config> = {}): Promise<Builds> {
  const one = await startLifecycle(driver, config);
  const { app, alice, e2b } = one;
  const { store, now, machines } = app.server.context;
  const [started, cancelled]: [string[], string[]] = [[], []];
  Object.assign(machines as object, {
    builds: { start: (id: string) => void started.push(id), cancel: (id: string) => void cancelled.push(id) },
  });
  const statusOf: Builds['statusOf'] = async ({ templateID, buildID }, query = '') =>
    e2b.get(`/templates/${templateID}/builds/${buildID}/status${query}`);
  return {
    ...one,
    started,
    cancelled,
    statusOf,
    request: async (name, more = {}) => (await e2b.post('/v3/templates', { name, ...more })).body,
    start: async ({ templateID, buildID }, body = { fromImage: 'debian' }) =>
      (await e2b.post(`/v2/templates/${templateID}/builds/${buildID}`, body)).status,
    say: async ({ buildID }, entries) => {
      const plain = { at: startTime, level: 'info' as const, step: null, message: '' };
      await inTransaction(store.db, (trx) =>
        appendLog(
          trx,
          buildID,
          entries.map((entry) => ({ ...plain, ...entry })),
        ),
      );
    },
    finish: async ({ buildID }, ref = `ref-${++refs}`) => {
      driver.images.set(ref, new Set());
      const held = { ref, driver: 'process', allowsSudo: false, runtime: null, hasMemory: false, sizeBytes: 1, setup };
      return (await inTransaction(store.db, (trx) => finishBuild(trx, now(), actor(alice), buildID, held))) !== null;
    },
    fail: async ({ buildID }, step = null) =>
      inTransaction(store.db, (trx) => failBuild(trx, now(), buildID, { reason: 'no such file', step })),
  };
}

import type { Config } from '../../app/config/settings.ts';
import { type E2b, e2bOf } from '../helpers/clients/e2b-client.ts';
import { apiKey, type Caller, startApp, type TestApp } from '../helpers/server.ts';
import { FakeDriver } from './fake-driver.ts';

/** An application whose machines exist in memory. */
export type Lifecycle = {
  app: TestApp;
  driver: FakeDriver;
  alice: Caller;
  e2b: E2b;
  /** Returns the statuses of all events of a kind, with their details. */
  events: (kind: string) => Promise<{ subject: string; details: Record<string, unknown> }[]>;
  /** Returns the rows of machines. */
  rows: () => Promise<{ sandbox_id: string; is_ready: number }[]>;
  /** Returns InstaVM's client for a path. */
  vms: (method: 'get' | 'post' | 'patch' | 'delete', path: string, body?: object) => ReturnType<TestApp['http']['get']>;
};

/** What InstaVM's client publishes as a template. */
export const manifest = {
  schema_version: 2,
  kind: 'devbox',
  slug: 'box',
  name: 'box',
  version: '1.0.0',
  audience: 'devbox',
  vm: { memory_mb: 1024, vcpus: 4 },
  build: [],
  runtime: [],
  terminal: { tmux_session: 'main', command: 'bash', cwd: '/' },
  app: null,
};

let users = 0;

export async function startLifecycle(driver = new FakeDriver(), config: Partial<Config> = {}): Promise<Lifecycle> {
  // Each request of these tests comes to another port: a domain of its own keeps answers
  // comparable.
  const app = await startApp({ machines: 'process', domain: 'sandboxes.test', ...config }, { driver });
  const alice = await app.addUser(`alice-${++users}`);
  const { db } = app.server.context.store;
  return {
    app,
    driver,
    alice,
    e2b: e2bOf(app, alice),
    events: async (kind) => {
      const rows = await db
        .selectFrom('events')
        .selectAll()
        .where('kind', '=', kind as 'vm.killed')
        .execute();
      return rows.map(({ subject, details }) => ({ subject, details: JSON.parse(details) }));
    },
    rows: () => db.selectFrom('machines').select(['sandbox_id', 'is_ready']).execute(),
    vms: (method, path, body) => app.http[method](path).set(apiKey(alice)).send(body) as never,
  };
}

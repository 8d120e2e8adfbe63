import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import request from 'supertest';
import type { TestMode } from '../../app/api/test-mode/mode.ts';
import { readConfig } from '../../app/config/config.ts';
import type { Config } from '../../app/config/settings.ts';
import type { Context } from '../../app/context.ts';
import { createLog } from '../../app/log/log.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { createServer, type SandpitServer } from '../../app/server.ts';
import { createApiKey } from '../../db/accounts/api-keys.ts';
import { hashPassword } from '../../db/accounts/passwords.ts';
import { createUser } from '../../db/accounts/users.ts';
import { type Actor, cli } from '../../db/events/record.ts';
import { type NewSandbox, newSandboxId } from '../../db/sandboxes/insert.ts';
import { openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { loadContract, withoutTests } from '../../spec/load.ts';
import { checkResponse } from './contract.ts';
import { insertSandbox } from './insert.ts';
import { removeMachines } from './processes/machines.ts';
import { executable } from './processes/process.ts';
import { startRemote } from './processes/remote.ts';

/** The start of every test's clock: the time in the seed's example. */
export const startTime = Date.parse('2025-01-18T10:30:00Z');

/** A hash names its own cost, so that servers check these in a millisecond instead of 300. */
export const cheap = { N: 2 ** 10, r: 8, p: 1 };

const patienceMilliseconds = 10_000;

export type Caller = { name: string; id: number; key: string };

/** The server, with access to its database. */
export type TestServer = SandpitServer & { context: Context & { store: SqliteStore } };

export type TestApp = {
  server: TestServer;
  clock: { now: number };
  /** Every log line so far. */
  log: () => string;
  /** Waits until a line is logged, because another process may respond before its line arrives. */
  logged: (pattern: RegExp) => Promise<void>;
  /** The application behind a recorder that checks each response against the contract. */
  http: ReturnType<typeof request>;
  listener: RequestListener;
  dir: string;
  addUser: (name: string, password?: string) => Promise<Caller>;
  /** Stores a sandbox as it is, whatever its state. */
  insert: (owner: Caller, sandbox?: Partial<NewSandbox>) => Promise<string>;
  close: () => Promise<void>;
};

const opened = new Set<TestApp>();

/**
 * Starts the real application in a temporary directory, with response validation and a stopped
 * clock.
 */
export async function startApp(
  config: Partial<Config> = {},
  overrides: { test?: TestMode; driver?: Driver } = {},
): Promise<TestApp> {
  const dir = temporaryDirectory();
  const clock = { now: startTime };
  const chosen = {
    machines: 'none' as const,
    db: join(dir, 'sandpit.db'),
    validateResponses: true,
    shutdownSeconds: 1,
    ...config,
  };
  if (config.db === undefined) {
    empty ??= makeEmpty();
    copyFileSync(await empty, chosen.db);
  }
  const started =
    executable === undefined ? await startHere(chosen, clock, overrides) : await startRemote(chosen, clock);
  const { server, log } = started as { server: TestServer; log: () => string };
  const { db } = server.context.store;
  const listener = recorded(server.app);
  const app: TestApp = {
    server,
    clock,
    log,
    logged: async (pattern) => {
      for (const end = Date.now() + patienceMilliseconds; !pattern.test(log()); await nextTurn()) {
        if (Date.now() > end) throw new Error(`${pattern} is not in the log:\n${log()}`);
      }
    },
    http: request(listener),
    listener,
    dir,
    addUser: async (name, password) => {
      const hash = password === undefined ? null : await hashPassword(password, cheap);
      return inTransaction(db, async (trx) => {
        const { id } = await createUser(trx, clock.now, cli, name, hash);
        return { name, id, key: await createApiKey(trx, clock.now, { ...cli, ownerId: id }, 'test') };
      });
    },
    insert: async (owner, sandbox) => {
      const whole = { ...plainSandbox(owner, clock.now), ...sandbox };
      await inTransaction(db, (trx) => insertSandbox(trx, whole));
      return whole.id;
    },
    close: async () => {
      opened.delete(app);
      await server.close();
    },
  };
  opened.add(app);
  return app;
}

async function startHere(
  config: Partial<Config>,
  clock: { now: number },
  overrides: { test?: TestMode; driver?: Driver },
) {
  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const server = await createServer(
    { ...readConfig({}, {}), ...config },
    { now: () => clock.now, log: createLog('info', sink), contract: contractFor(overrides.test), ...overrides },
  );
  // Nothing here outlives a power failure; tests of the store and of killed processes keep the
  // default.
  (server as TestServer).context.store.sqlite.pragma('synchronous = off');
  return { server, log: () => lines.join('') };
}

let empty: Promise<string> | undefined;

/**
 * Makes a database that has the schema and nothing else, because migrating takes many writes to
 * disk.
 */
async function makeEmpty(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'sandpit-empty-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'sandpit.db');
  await openStore(file).close();
  return file;
}

const contracts = { test: loadContract(), other: withoutTests(loadContract()) };

/**
 * Returns one object for all applications of a process, because they share what is compiled from
 * it.
 */
const contractFor = (test: TestMode | undefined) => (test ? contracts.test : contracts.other);

/**
 * Declares a test that accesses the application's internals. It is skipped for the executable,
 * which is a process of its own.
 */
export function itHere(title: string, body: () => Promise<void>): void {
  (executable === undefined ? it : it.skip)(title, body);
}

/**
 * Starts one application for all tests of a `describe`, because compiling the contract is slow.
 * Returns a function that returns it. Its clock is reset before each test; each test adds its own
 * callers.
 */
export function shareApp(config: Partial<Config> = {}): () => TestApp {
  let app: TestApp;
  before(async () => {
    app = await startApp(config);
    opened.delete(app);
  });
  beforeEach(() => {
    app.clock.now = startTime;
  });
  after(() => app.close());
  return () => app;
}

/** Called after every test. */
export async function closeApps(): Promise<void> {
  for (const app of [...opened]) await app.close();
}

const directories: string[] = [];

export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sandpit-'));
  directories.push(dir);
  return dir;
}

/** Called after the last test. */
export async function removeDirectories(): Promise<void> {
  for (const dir of directories) {
    await removeMachines(dir);
    rmSync(dir, { recursive: true, force: true });
  }
}

export function apiKey({ key }: Caller): { 'X-API-Key': string } {
  return { 'X-API-Key': key };
}

/** Returns the caller as the actor of a change made without a request. */
export function actor({ id }: Caller): Actor {
  return { ...cli, ownerId: id };
}

/** Returns a client for a caller's sandboxes. */
export function clientOf(app: TestApp, caller: Caller) {
  // Read at each call: useVms puts other callers in the same object.
  const key = () => apiKey(caller);
  return {
    create: (body?: object) => app.http.post('/v1/vms').set(key()).send(body),
    createText: (text: string) => app.http.post('/v1/vms').set(key()).type('json').send(text),
    read: (id: string) => app.http.get(`/v1/vms/${id}`).set(key()),
    update: (id: string, body: object) => app.http.patch(`/v1/vms/${id}`).set(key()).send(body),
    end: (id: string) => app.http.delete(`/v1/vms/${id}`).set(key()),
    /** Returns how many sandboxes match a filter. */
    matching: async (filter: object): Promise<number> => {
      const query = { metadata: JSON.stringify(filter) };
      return (await app.http.get('/v1/sessions/sandboxes').set(key()).query(query)).body.length;
    },
  };
}

function plainSandbox(owner: Caller, now: number): NewSandbox {
  return {
    id: newSandboxId(),
    ownerId: owner.id,
    templateId: null,
    metadata: {},
    env: null,
    memoryMb: 512,
    vcpuCount: 2,
    startedAt: now,
    endAt: now + 300_000,
    status: 'active',
  };
}

function recorded(app: RequestListener): RequestListener {
  return (req: IncomingMessage, res: ServerResponse) => {
    // Read now, because a router changes the URL of mounted handlers.
    const { method = '', url = '' } = req;
    const chunks: Buffer[] = [];
    const [write, end] = [res.write.bind(res), res.end.bind(res)];
    res.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
      if (String(res.getHeader('content-type') ?? '').startsWith('application/json'))
        chunks.push(Buffer.from(chunk as string));
      return (write as (...args: unknown[]) => boolean)(chunk, ...rest);
    }) as typeof res.write;
    res.end = ((chunk?: unknown, ...rest: unknown[]) => {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk as string));
      const contentType = String(res.getHeader('content-type') ?? '');
      checkResponse(method, url, res.statusCode, contentType, Buffer.concat(chunks).toString());
      return (end as (...args: unknown[]) => ServerResponse)(chunk, ...rest);
    }) as typeof res.end;
    app(req, res);
  };
}

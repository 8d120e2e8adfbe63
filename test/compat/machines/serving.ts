import { join } from 'node:path';
import { type Serving as Process, sandpit, serve } from '../../helpers/processes/process.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { sdks } from '../clients.ts';
import { obstacle, target } from './target.ts';

const key = `e2b_${'8'.repeat(40)}`;

export type Serving = Process & {
  /** The key of the user `admin`. */
  key: string;
  /** The key of another user. */
  otherKey: string;
};

let started: Promise<Serving> | undefined;

/**
 * Declares that the tests of this `describe` need the server: one process for all of them, with
 * response validation and the real clock. Returns a function that returns it during a test.
 */
export function withServer(): () => Serving {
  let serving: Serving;
  before(async function () {
    if (obstacle !== null) this.skip();
    started ??= startServer();
    serving = await started;
  });
  return () => serving;
}

/** Ends every machine, then the server. Call it once, after the last test. */
export async function stopServer(): Promise<void> {
  if (started === undefined) return;
  const { url, stop, output, ...serving } = await started;
  started = undefined;
  for (const apiKey of [serving.key, serving.otherKey]) await endAll(url, apiKey);
  await stop();
  // An error of the server's own is a failure, even if the client took it well.
  const errors = (output.stdout + output.stderr).split('\n').filter((line) => /"level":(50|60)/.test(line));
  if (errors.length > 0) throw new Error(`the server logged errors:\n${errors.join('\n')}`);
}

async function startServer(): Promise<Serving> {
  const db = join(temporaryDirectory(), 'sandpit.db');
  const flags = ['--db', db, '--api-key', key, '--log-level', 'warn', '--validate-responses', 'true'];
  const serving = await serve([...flags, ...target.flags]);
  await sandpit(['users', 'create', 'other', '--db', db]);
  const { stdout, stderr } = await sandpit(['keys', 'create', '--user', 'other', '--db', db]);
  const [otherKey = ''] = /e2b_[0-9a-f]{40}/.exec(stdout + stderr) ?? [];
  return { ...serving, key, otherKey };
}

async function endAll(url: string, apiKey: string): Promise<void> {
  const newest = sdks.at(-1);
  if (newest === undefined) return;
  const { Sandbox } = new newest.sdk.E2B({ apiKey, apiUrl: url, sandboxUrl: url });
  const paginator = Sandbox.list();
  const ids: string[] = [];
  while (paginator.hasNext) ids.push(...(await paginator.nextItems()).map(({ sandboxId }) => sandboxId));
  await Promise.all(ids.map((id) => Sandbox.kill(id)));
}

import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomFrom } from '../../bench/data.ts';
import { type Serving, sandpit, serve, start } from '../../helpers/processes/process.ts';
import { apiKey, type Tally, writeOn } from '../model/client.ts';
import { Model } from '../model/model.ts';
import { type Findings, noFindings, verify } from '../model/verify.ts';

export type KillOptions = {
  file: string;
  kills: number;
  seconds: number;
  seed: number;
  report?: (text: string) => void;
};

export type KillResult = Findings &
  Tally & { seed: number; kills: number; atStart: number; sandboxes: number; checks: number };

const thoroughEvery = 10;

/**
 * Kills the server at random moments during writes, and compares the data with the model after
 * each restart.
 */
export async function torture({ file, kills, seconds, seed, report }: KillOptions): Promise<KillResult> {
  const random = randomFrom(seed);
  const model = new Model();
  const deadline = performance.now() + seconds * 1000;
  const result: KillResult = {
    ...noFindings(),
    acknowledged: 0,
    refused: {},
    lies: [],
    seed,
    kills: 0,
    atStart: 0,
    sandboxes: 0,
    checks: 0,
  };
  // A compile cache cuts the start to two thirds; only a process that exits normally writes it.
  const env = { NODE_COMPILE_CACHE: join(dirname(file), 'compiled') };
  await sandpit(['--version'], { env });
  let server = await serveOn(file, env);
  try {
    while (result.kills < kills && performance.now() < deadline) {
      await killWhileWriting(server, 10 + random() * 500, { model, tally: result, seed: seed + result.kills });
      result.kills++;
      // Sometimes the recovery is interrupted, too.
      if (random() < 0.15 && result.kills < kills) {
        await killWhileStarting(file, env, 100 + random() * 900);
        result.kills++;
        result.atStart++;
      }
      server = await serveOn(file, env);
      const isThorough = ++result.checks % thoroughEvery === 0 || result.kills >= kills;
      await verify(file, server.url, model, result, isThorough);
      report?.(`${result.kills} of ${kills} kills, ${result.acknowledged} writes acknowledged`);
    }
    await verify(file, server.url, model, result, true);
  } finally {
    await server.stop();
  }
  return { ...result, seed, sandboxes: model.entries.size };
}

/** Starts the server on a database with the client's key. */
export function serveOn(file: string, env: Env = {}): Promise<Serving> {
  return serve(['--db', file], { env: { ...environment, ...env } });
}

type Env = Record<string, string>;

const environment = { SANDPIT_API_KEY: apiKey, SANDPIT_LOG_LEVEL: 'error', SANDPIT_SWEEP_SECONDS: '1' };

async function killWhileWriting(
  { url, stop }: Serving,
  milliseconds: number,
  what: { model: Model; tally: Tally; seed: number },
): Promise<void> {
  const { signal } = new AbortController();
  const writing = writeOn({ ...what, url, signal });
  await delay(milliseconds);
  await stop('SIGKILL');
  await writing;
}

async function killWhileStarting(file: string, env: Env, milliseconds: number): Promise<void> {
  const child = start(['serve', '--port', '0', '--db', file], { env: { ...environment, ...env }, cwd: '/' });
  const closed = once(child, 'close');
  await delay(milliseconds);
  child.kill('SIGKILL');
  await closed;
}

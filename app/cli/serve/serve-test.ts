import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createTestMode } from '../../api/test-mode/mode.ts';
import { ConfigError, readConfig } from '../../config/config.ts';
import { networks } from '../../config/network-readers.ts';
import type { Config } from '../../config/settings.ts';
import { isLoopback } from '../../http/addresses.ts';
import { openLog } from '../../log/log.ts';
import { createServer } from '../../server.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { listen, shutDown } from './lifecycle.ts';
import { type Initial, resetAll, resetUser } from './test-reset.ts';

/** The flags of a test server that are not settings. */
export type TestFlags = { seed?: string; randomSeed?: number };

/** Where the clock of a reproducible server stands: the time of the contract's example. */
const reproducibleStart = Date.parse('2025-01-18T10:30:00Z');

/**
 * Runs a test server until it is stopped. It also stops when standard input is a pipe that closes,
 * so that it does not outlive the test that started it. Prints its URL, API key and process id as
 * one line of JSON.
 */
export async function serveTest(flags: TestFlags & Record<string, unknown>, terminal: Terminal): Promise<void> {
  const { stderr, stdout, stop, now } = terminal;
  const config = testConfig(flags);
  const { randomSeed, seed } = flags;
  const test = createTestMode(now, randomSeed === undefined ? null : reproducibleStart);
  const { close: closeLog, ...log } = await openLog(config, 2);
  const server = await createServer(config, { now: test.clock.now, ...log, test });
  const { context } = server;
  const ended = AbortSignal.any([stop, endOf(terminal.stdin)]);
  try {
    const url = await listen(server, config);
    const records = seed === undefined ? Buffer.alloc(0) : await readSeed(seed);
    const initial: Initial = { records, seed, randomSeed, apiKey: config.apiKey };
    const apiKey = await resetAll(context, initial, stop);
    // A reset keeps the API key: a reproducible server generates the same one again.
    const again = randomSeed === undefined ? { ...initial, apiKey } : initial;
    test.onReset(() => context.webhooks.startOver(async () => void (await resetAll(context, again, stop))));
    test.onUserReset((user) => resetUser(context, again, user, stop));
    stdout.write(`${JSON.stringify({ url, apiKey, pid: process.pid })}\n`);
    stderr.write(`A test server answers on ${url}; its data is lost when it stops.\n`);
    if (!ended.aborted) await once(ended, 'abort');
  } finally {
    terminal.stdin.destroy();
    await shutDown(server, closeLog, stderr);
  }
}

/**
 * Throws ConfigError for a database file, for machines, and for an address on the network unless
 * that is allowed.
 */
function testConfig(flags: Record<string, unknown>): Config {
  const config = readConfig(flags, undefined, {
    db: ':memory:',
    machines: 'none',
    port: 0,
    logLevel: 'warn',
    validateResponses: true,
    loginAttempts: 1_000_000,
    shutdownSeconds: 0,
    // A test's webhook receiver runs on the same machine.
    webhookAllow: networks('127.0.0.0/8,::1'),
    // Twice the longest delay that a fault can add.
    requestSeconds: 60,
  });
  if (config.db !== ':memory:') {
    throw new ConfigError(`--test keeps everything in memory: leave out --db and SANDPIT_DB (here ${config.db})`);
  }
  if (config.machines !== 'none') {
    throw new ConfigError(
      `--test keeps records only: leave out --machines and SANDPIT_MACHINES (here ${config.machines})`,
    );
  }
  if (!flags.allowNetwork && !isLoopback(config.host)) {
    throw new ConfigError(
      `--test listens on loopback only (127.0.0.1 or ::1), not on ${config.host}, because anyone who can reach it controls it: add --allow-network if you mean it, e.g. in a container`,
    );
  }
  if (!flags.allowNetwork && config.metricsPort !== undefined && !isLoopback(config.metricsHost)) {
    throw new ConfigError(
      `--test listens on loopback only, for metrics too: leave out ${config.metricsHost}, or add --allow-network`,
    );
  }
  return config;
}

async function readSeed(seed: string): Promise<Buffer> {
  return readFile(seed).catch((error) => {
    throw new Error(`--seed ${seed}: ${error.message}`, { cause: error });
  });
}

/**
 * Returns a signal that aborts when a pipe on standard input closes. A terminal or a file never
 * aborts it.
 */
function endOf(stdin: NodeJS.ReadStream): AbortSignal {
  const ended = new AbortController();
  const kind = fstatSync(0);
  if (kind.isFIFO() || kind.isSocket()) {
    for (const event of ['end', 'close', 'error'] as const) stdin.once(event, () => ended.abort());
    stdin.resume();
  }
  return ended.signal;
}

import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { deleteBelongings, type User } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { repeatRandomness } from '../../../db/random.ts';
import { emptyStore } from '../../../db/sqlite/empty.ts';
import { inTransaction } from '../../../db/store.ts';
import { createTestMode } from '../../api/test-mode/mode.ts';
import { findOrCreateUser } from '../../api/test-mode/users.ts';
import { ConfigError, readConfig } from '../../config/config.ts';
import { networks } from '../../config/network-readers.ts';
import type { Config } from '../../config/settings.ts';
import { isLoopback } from '../../http/addresses.ts';
import { importLines, RecordImporter } from '../../import/import.ts';
import { linesOf } from '../../import/json-lines.ts';
import { openLog } from '../../log/log.ts';
import { createServer, type SandpitServer } from '../../server.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addFirstUser } from './first-user.ts';
import { listen, shutDown } from './serve.ts';

/** What a test server is given beside its settings. */
export type TestFlags = { seed?: string; randomSeed?: number };

/** The moment of the contract's own example: where a clock stands whose answers are to be the same each time. */
const repeatedStart = Date.parse('2025-01-18T10:30:00Z');

/**
 * Answers requests until stopped, or until standard input, where that is a pipe, is closed: a test server doesn't outlive
 * the test that started it. Says on standard output, in one line of JSON, where it is.
 */
export async function serveTest(flags: TestFlags & Record<string, unknown>, terminal: Terminal): Promise<void> {
  const { stderr, stdout, stop, now } = terminal;
  const config = testConfig(flags);
  const { randomSeed, seed } = flags;
  const test = createTestMode(now, randomSeed === undefined ? null : repeatedStart);
  const { close: closeLog, ...log } = await openLog(config, 2);
  const server = await createServer(config, { now: test.clock.now, ...log, test });
  const ended = AbortSignal.any([stop, endOf(terminal.stdin)]);
  try {
    const url = await listen(server, config);
    const records = seed === undefined ? Buffer.alloc(0) : await contentOf(seed);
    const apiKey = await begin(server, records, flags, stop);
    // With a seed it comes out the same; without one the key that the test has stays valid.
    if (randomSeed === undefined) config.apiKey = apiKey;
    const beginAgain = async () => void (await begin(server, records, flags, stop));
    test.onReset(() => server.context.webhooks.startOver(beginAgain));
    test.onUserReset((user) => beginAgainFor(user, server, records, stop));
    stdout.write(`${JSON.stringify({ url, apiKey, pid: process.pid })}\n`);
    stderr.write(`A test server answers on ${url}; what it holds is gone when it stops.\n`);
    if (!ended.aborted) await once(ended, 'abort');
  } finally {
    terminal.stdin.destroy();
    await shutDown(server, closeLog, stderr);
  }
}

/** Throws ConfigError for a server that others could reach or that has something to lose. */
function testConfig(flags: Record<string, unknown>): Config {
  const config = readConfig(flags, undefined, {
    db: ':memory:',
    port: 0,
    logLevel: 'warn',
    validateResponses: true,
    loginAttempts: 1_000_000,
    shutdownSeconds: 0,
    // A test's own receiver is where the test is.
    webhookAllow: networks('127.0.0.0/8,::1'),
    // Twice as long as a fault may keep a client waiting.
    requestSeconds: 60,
  });
  if (config.db !== ':memory:') {
    throw new ConfigError(`--test keeps everything in memory: leave out --db and SANDPIT_DB (here ${config.db})`);
  }
  if (!flags.allowNetwork && !isLoopback(config.host)) {
    throw new ConfigError(
      `--test listens on loopback only, 127.0.0.1 or ::1, not on ${config.host}, as whoever reaches it may steer it: give --allow-network where that is meant, in a container say`,
    );
  }
  if (!flags.allowNetwork && config.metricsPort !== undefined && !isLoopback(config.metricsHost)) {
    throw new ConfigError(
      `--test listens on loopback only, for metrics too: leave out ${config.metricsHost}, or give --allow-network`,
    );
  }
  return config;
}

async function contentOf(seed: string): Promise<Buffer> {
  return readFile(seed).catch((error) => {
    throw new Error(`--seed ${seed}: ${error.message}`, { cause: error });
  });
}

/** Has the store hold what it begins with and nothing else, in one step. Returns the first user's API key. */
async function begin(
  { context }: SandpitServer,
  records: Buffer,
  { seed, randomSeed }: TestFlags,
  stop: AbortSignal,
): Promise<string> {
  const { store, now } = context;
  if (randomSeed !== undefined) repeatRandomness(randomSeed);
  context.keyUse.clear();
  return inTransaction(store.db, async (trx) => {
    await emptyStore(trx);
    const key = await addFirstUser(trx, context);
    const importer = new RecordImporter(trx, now, cli, (name) => findOrCreateUser(trx, now(), cli, name));
    await importLines(importer, [records], { stop }).catch((error) => {
      throw new Error(`--seed ${seed}: ${error.message}`, { cause: error });
    });
    return key;
  });
}

/** Makes what a user has what they began with: the sandboxes of the seed that are theirs. */
async function beginAgainFor(
  user: User,
  { context }: SandpitServer,
  records: Buffer,
  stop: AbortSignal,
): Promise<void> {
  const { store, now } = context;
  await inTransaction(store.db, async (trx) => {
    await deleteBelongings(trx, user.id);
    const importer = new RecordImporter(trx, now, cli, async () => user);
    const theirs: Buffer[] = [];
    for await (const { text } of linesOf([records])) {
      if (JSON.parse(text).owner === user.name) theirs.push(Buffer.from(`${text}\n`));
    }
    await importLines(importer, theirs, { stop });
  });
}

/** Says when the other end of standard input is closed; never where it is a terminal, a file or nothing. */
function endOf(stdin: NodeJS.ReadStream): AbortSignal {
  const ended = new AbortController();
  const kind = fstatSync(0);
  if (kind.isFIFO() || kind.isSocket()) {
    for (const event of ['end', 'close', 'error'] as const) stdin.once(event, () => ended.abort());
    stdin.resume();
  }
  return ended.signal;
}

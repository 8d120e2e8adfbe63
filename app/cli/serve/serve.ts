import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { ConfigError, readConfig } from '../../config/config.ts';
import { type Config, settings } from '../../config/settings.ts';
import { isLoopback, isWildcard } from '../../http/addresses.ts';
import { type OpenLog, openLog } from '../../log/log.ts';
import { createServer, type SandpitServer } from '../../server.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addSettings, upgradeNotice } from '../options.ts';
import { createFirstUser } from './first-user.ts';

/** How long it may take to close the server beside what open requests may take. With them, less than systemd's patience. */
const closeSeconds = 8;
/** How long the end waits for a reader of the log. */
const flushMilliseconds = 1000;

export function serveCommand(program: Command, terminal: Terminal): void {
  const command = program.command('serve').description('answer requests until stopped');
  addSettings(command, Object.keys(settings) as (keyof Config)[])
    .option(
      '--test',
      'be a server for tests: in memory, on a free port, steered through /_test/ (see CONTRACT-TESTING.md)',
    )
    .option('--seed <file>', 'with --test: begin with the sandboxes of a JSON lines file')
    .option('--random-seed <number>', 'with --test: the same ids, keys and times at every start', wholeNumber)
    .option('--allow-network', 'with --test: may listen beyond loopback, where whoever reaches it can steer it')
    .action(async ({ test, ...flags }) => {
      if (test) return (await import('./serve-test.ts')).serveTest(flags, terminal);
      if (flags.seed !== undefined || flags.randomSeed !== undefined || flags.allowNetwork) {
        throw new ConfigError(
          '--seed, --random-seed and --allow-network are for a server for tests: give --test as well',
        );
      }
      return serve(readConfig(flags), terminal);
    });
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number of at most 15 digits.');
}

async function serve(config: Config, terminal: Terminal): Promise<void> {
  const { stderr, stop, now } = terminal;
  const { close: closeLog, ...log } = await openLog(config, 1);
  const server = await createServer(config, { now, ...log });
  try {
    stderr.write(upgradeNotice(server.context.store));
    if (server.context.store.lacksLog) stderr.write(lostLog(config.db));
    // Listening may fail, and a key that was made before could not be shown any more.
    const url = await listen(server, config);
    reloadWhenTold(server, config, terminal);
    if (config.tlsCert === undefined && !isLoopback(config.host)) stderr.write(plainWarning(config.host));
    const firstKey = await createFirstUser(server.context);
    if (firstKey && config.apiKey) stderr.write(welcome(url, null));
    else if (firstKey) showOnce(welcome(url, firstKey), stderr, log);
    if (config.metricsPort !== undefined && !isLoopback(config.metricsHost)) stderr.write(metricsWarning);
    stderr.write(greeting(server, url));
    if (!stop.aborted) await once(stop, 'abort');
    stderr.write('Stopping.\n');
  } finally {
    await shutDown(server, closeLog, stderr);
  }
}

/** Writes a new key, which is shown once only. Where it is lost the log says what to do. */
function showOnce(text: string, stderr: Writable, { log }: Pick<OpenLog, 'log'>): void {
  const onLost = () =>
    log.error('the first API key could not be shown: make one with sandpit keys create --user admin');
  stderr.once('lost', onLost);
  stderr.write(text, () => stderr.off('lost', onLost));
}

/**
 * Closes the server and writes the rest of its log, however long that takes within bounds: a service manager that loses
 * its patience would kill it. Throws an Error when the server can't be closed in time.
 */
export async function shutDown(server: SandpitServer, closeLog: OpenLog['close'], stderr: Writable): Promise<void> {
  const seconds = server.context.config.shutdownSeconds + closeSeconds;
  const timer = new AbortController();
  const timeUp = delay(seconds * 1000, true, timer);
  const isLate = await Promise.race([server.close().then(() => false), timeUp]);
  timer.abort();
  if (isLate) stderr.write(`The server could not be closed within ${seconds} seconds, so it is cut off.\n`);
  await closeLog(AbortSignal.timeout(flushMilliseconds));
  if (isLate) throw new Error('the server was cut off');
}

/** Without a certificate there is nothing to read again: then a terminal that is closed ends the server, as ever. */
function reloadWhenTold(server: SandpitServer, { tlsCert }: Config, { stdin, stderr, onReload }: Terminal): void {
  if (tlsCert === undefined && stdin.isTTY) return;
  onReload(() => {
    try {
      server.reloadCertificate();
      stderr.write(tlsCert === undefined ? 'There is no certificate to read again.\n' : `Read ${tlsCert} again.\n`);
    } catch (error) {
      stderr.write(`The old certificate stays: ${(error as Error).message}\n`);
    }
  });
}

function lostLog(file: string): string {
  return `Warning: the last server did not close ${file}, and its write-ahead log ${file}-wal is not beside it. \
If this is a copy of a database in use, the latest changes are missing from it.\n`;
}

function plainWarning(host: string): string {
  return `Warning: ${isWildcard(host) ? 'this server' : host} is open to the network without TLS, so API keys can be read on the way. \
Give --tls-cert and --tls-key, or listen on 127.0.0.1 with a TLS proxy before it.\n`;
}

/** Has the server listen; returns its URL. Throws an Error that says in words why it can't. */
export async function listen(server: SandpitServer, { host, port }: Config): Promise<string> {
  try {
    return await server.start();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new Error(`${host}:${port} is in use: stop what listens there or choose another --port`);
    if (code === 'EACCES') throw new Error(`this user may not listen on port ${port}: choose one above 1023`);
    throw new Error(`can't listen on ${host}:${port}: ${message}`);
  }
}

const metricsWarning = 'Warning: metrics are open to the network without TLS, so their token can be read on the way.\n';

function greeting({ context: { config, contract }, metricsUrl }: SandpitServer, url: string): string {
  const metrics = metricsUrl();
  const lines = [
    `Sandpit ${contract.info.version} answers on ${url}${isWildcard(config.host) ? " and at this machine's other addresses" : ''}`,
    `API reference: ${url}/docs   database: ${config.db}`,
    ...(metrics ? [`Metrics: ${metrics}${config.metricsToken ? ', with the token' : ''}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** A key that was given is known already, and has no business in a container's log. */
function welcome(url: string, key: string | null): string {
  const shown = key ? `this API key, which is not shown again:\n\n  ${key}` : 'the API key that was given.';
  return `
This database is new. User admin was made, with ${shown}

Try it:

  curl -H 'X-API-Key: ${key ?? '...'}' ${url}/v1/sessions/sandboxes

`;
}

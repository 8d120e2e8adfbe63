import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { type Command, InvalidArgumentError } from 'commander';
import { ConfigError, readConfig } from '../../config/config.ts';
import { type Config, settings } from '../../config/settings.ts';
import { isLoopback } from '../../http/addresses.ts';
import { type OpenLog, openLog } from '../../log/log.ts';
import type { SandpitServer } from '../../server.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addSettings, upgradeNotice } from '../options.ts';
import { createFirstUser } from './first-user.ts';
import { listen, shutDown } from './lifecycle.ts';
import { machinesNotice } from './machines-notice.ts';
import { greeting, metricsWarning, missingLogWarning, plainTextWarning, welcome } from './messages.ts';

export function serveCommand(program: Command, terminal: Terminal): void {
  const command = program.command('serve').description('run the server until it is stopped');
  addSettings(command, Object.keys(settings) as (keyof Config)[])
    .option(
      '--test',
      'run a test server: in memory, on a free port, controlled through /_test/ (see CONTRACT-TESTING.md)',
    )
    .option('--seed <file>', 'with --test: start with the sandboxes of a JSON lines file')
    .option('--random-seed <number>', 'with --test: use the same ids, keys and times at every start', wholeNumber)
    .option('--allow-network', 'with --test: allow an address other than loopback; anyone who can reach it controls it')
    .action(async ({ test, ...flags }) => {
      if (test) return (await import('./serve-test.ts')).serveTest(flags, terminal);
      if (flags.seed !== undefined || flags.randomSeed !== undefined || flags.allowNetwork) {
        throw new ConfigError('--seed, --random-seed and --allow-network are for test servers: add --test');
      }
      return serve(readConfig(flags), terminal);
    });
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number of at most 15 digits.');
}

async function serve(config: Config, terminal: Terminal): Promise<void> {
  const { stdin, stderr, stop, now } = terminal;
  // Imported only here, because other commands start faster without the server.
  const { createServer } = await import('../../server.ts');
  const { close: closeLog, ...log } = await openLog(config, 1);
  const server = await createServer(config, { now, ...log });
  try {
    stderr.write(upgradeNotice(server.context.store));
    if (server.context.store.lacksLog) stderr.write(missingLogWarning(config.db));
    // Listens before it creates the first API key: if listening failed, the key would never be
    // shown.
    const url = await listen(server, config);
    reloadOnSignal(server, config, terminal);
    if (config.tlsCert === undefined && !isLoopback(config.host)) stderr.write(plainTextWarning(config.host));
    const first = await createFirstUser(server.context);
    const link = first && config.console && stdin.isTTY ? server.context.links.create(first.user) : null;
    if (first && config.apiKey) stderr.write(welcome(url, null, link));
    else if (first) writeFirstKey(welcome(url, first.key, link), stderr, log);
    if (config.metricsPort !== undefined && !isLoopback(config.metricsHost)) stderr.write(metricsWarning);
    stderr.write(greeting(server, url));
    writeLater(machinesNotice(server), terminal);
    if (!stop.aborted) await once(stop, 'abort');
    stderr.write('Stopping.\n');
  } finally {
    await shutDown(server, closeLog, stderr);
  }
}

/**
 * Writes the text with the first API key. If it cannot be written, the log says how to create
 * another.
 */
function writeFirstKey(text: string, stderr: Writable, { log }: Pick<OpenLog, 'log'>): void {
  const onLost = () =>
    log.error('the first API key could not be shown: make one with sandpit keys create --user admin');
  stderr.once('lost', onLost);
  stderr.write(text, () => stderr.off('lost', onLost));
}

/** Writes a text once it is known, unless the server stops before that or it can't be known. */
function writeLater(text: Promise<string>, { stderr, stop }: Terminal): void {
  text.then(
    (known) => void (stop.aborted || stderr.write(known)),
    () => {},
  );
}

/**
 * Reloads the certificate on SIGHUP. On a terminal and without a certificate, SIGHUP keeps its
 * default effect: closing the terminal ends the server.
 */
function reloadOnSignal(server: SandpitServer, { tlsCert }: Config, { stdin, stderr, onReload }: Terminal): void {
  if (tlsCert === undefined && stdin.isTTY) return;
  onReload(() => {
    try {
      server.reloadCertificate();
      stderr.write(tlsCert === undefined ? 'There is no certificate to reload.\n' : `Reloaded ${tlsCert}.\n`);
    } catch (error) {
      stderr.write(`The old certificate stays in use: ${(error as Error).message}\n`);
    }
  });
}

import { Command, CommanderError } from 'commander';
import { backupCommands } from './cli/backup.ts';
import { completionCommand } from './cli/completion.ts';
import { conformCommand } from './cli/conform.ts';
import { deployCommands } from './cli/deploy.ts';
import { doctorCommand } from './cli/doctor.ts';
import { healthCommand } from './cli/health.ts';
import { keysCommand } from './cli/keys.ts';
import { killCommand } from './cli/kill.ts';
import { machinesCommand } from './cli/machines/machines.ts';
import { openapiCommand } from './cli/openapi.ts';
import { proxyCommand } from './cli/proxy.ts';
import { serveCommand } from './cli/serve/serve.ts';
import { templatesCommand } from './cli/templates/templates.ts';
import { transferCommands } from './cli/transfer.ts';
import { usersCommand } from './cli/users.ts';
import { misspeltWarnings } from './config/misspelt.ts';
import { Output } from './terminal/output.ts';
import { printable } from './terminal/printable.ts';
import type { Terminal } from './terminal/terminal.ts';
import { versionText } from './version.ts';

/** Returns the command line: every command with its options. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command('sandpit')
    .description('A self-hosted, single-node control plane for sandboxes.')
    .option('--version', 'print the versions of this program, of Node and of SQLite')
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(printable(text, { lines: true })),
      outputError: (text, write) => write(text.replace(/^error: /, 'sandpit: ')),
    })
    .showHelpAfterError('Run sandpit COMMAND --help for the options of a command.')
    .exitOverride();
  program.on('option:version', () => {
    terminal.stdout.write(`${versionText()}\n`);
    throw new CommanderError(0, 'sandpit.version', '');
  });
  program.hook('preAction', () => {
    for (const warning of misspeltWarnings()) terminal.stderr.write(`${printable(warning)}\n`);
  });
  serveCommand(program, terminal);
  usersCommand(program, terminal);
  keysCommand(program, terminal);
  templatesCommand(program, terminal);
  machinesCommand(program, terminal);
  killCommand(program, terminal);
  transferCommands(program, terminal);
  backupCommands(program, terminal);
  doctorCommand(program, terminal);
  healthCommand(program, terminal);
  openapiCommand(program, terminal);
  proxyCommand(program, terminal);
  conformCommand(program, terminal);
  deployCommands(program, terminal);
  completionCommand(program, terminal);
  return program;
}

const signals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Returns a signal that aborts on the process's first SIGINT or SIGTERM. A second one ends the
 * process at once.
 */
function stopOnSignal(stop: AbortController): AbortSignal {
  const onSignal = () => {
    for (const name of signals) process.off(name, onSignal);
    stop.abort();
  };
  for (const name of signals) process.on(name, onSignal);
  return stop.signal;
}

/** Exit code after a broken pipe, as a shell reports it for programs that SIGPIPE ended. */
const brokenPipe = 141;

/**
 * Runs a command line (`process.argv`). Returns the exit code: 130 after a signal, 141 if the
 * reader of standard output has gone, 1 after any other failure. Output that a slow reader has not
 * taken by then is lost.
 */
export async function main(argv: string[]): Promise<number> {
  const stdout = new Output(1);
  const stderr = new Output(2);
  const stop = new AbortController();
  let stopSignal: AbortSignal | undefined;
  stdout.once('lost', () => stop.abort());
  const terminal: Terminal = {
    stdin: process.stdin,
    stdout,
    stderr,
    now: Date.now,
    onReload: (listener) => void process.on('SIGHUP', listener),
    get stop() {
      stopSignal ??= stopOnSignal(stop);
      return stopSignal;
    },
  };
  const code = await run(argv, terminal, stop.signal);
  await stdout.finish(patience(stop.signal));
  if (stdout.failure && stdout.failure.code !== 'EPIPE') {
    stderr.write(`sandpit: can't write to standard output: ${stdout.failure.message}\n`);
  }
  await stderr.finish(patience(stop.signal));
  if (stdout.failure) return stdout.failure.code === 'EPIPE' ? brokenPipe : 1;
  return code;
}

async function run(argv: string[], terminal: Terminal, stop: AbortSignal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync(argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (stop.aborted) return 130;
    terminal.stderr.write(`sandpit: ${printable(error instanceof Error ? error.message : String(error))}\n`);
    return 1;
  }
}

/**
 * Returns a signal that aborts one second after `stop`. Without a stop, slow readers may take any
 * time.
 */
function patience(stop: AbortSignal): AbortSignal {
  const giveUp = new AbortController();
  const wait = () => void setTimeout(() => giveUp.abort(), 1000).unref();
  if (stop.aborted) wait();
  else stop.addEventListener('abort', wait);
  return giveUp.signal;
}

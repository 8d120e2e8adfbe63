import { Command, CommanderError } from 'commander';
import { backupCommands } from './cli/backup.ts';
import { completionCommand } from './cli/completion.ts';
import { conformCommand } from './cli/conform.ts';
import { deployCommands } from './cli/deploy.ts';
import { doctorCommand } from './cli/doctor.ts';
import { keysCommand } from './cli/keys.ts';
import { killCommand } from './cli/kill.ts';
import { openapiCommand } from './cli/openapi.ts';
import { proxyCommand } from './cli/proxy.ts';
import { serveCommand } from './cli/serve.ts';
import type { Terminal } from './cli/terminal.ts';
import { transferCommands } from './cli/transfer.ts';
import { usersCommand } from './cli/users.ts';
import { versionText } from './version.ts';

function createProgram(terminal: Terminal): Command {
  const program = new Command('sandpit')
    .description('A self-hosted, single-node control plane for sandboxes.')
    .option('--version', 'print the versions of this program, of Node and of SQLite')
    .exitOverride();
  program.on('option:version', () => {
    terminal.stdout.write(`${versionText()}\n`);
    throw new CommanderError(0, 'sandpit.version', '');
  });
  serveCommand(program, terminal);
  usersCommand(program, terminal);
  keysCommand(program, terminal);
  killCommand(program, terminal);
  transferCommands(program, terminal);
  backupCommands(program, terminal);
  doctorCommand(program, terminal);
  openapiCommand(program, terminal);
  proxyCommand(program, terminal);
  conformCommand(program, terminal);
  deployCommands(program, terminal);
  completionCommand(program, terminal);
  return program;
}

/** Returns the clock of this process. A parent that opened a channel to it may set it, as the tests do. */
function clock(): () => number {
  let set: number | undefined;
  process.on('message', (time) => {
    if (typeof time !== 'number') return;
    set = time;
    process.send?.(time);
  });
  process.channel?.unref();
  return () => set ?? Date.now();
}

/** Returns the exit code. */
async function main(argv: string[]): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const stop = new AbortController();
  // Once: a second signal ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  // A reader that has enough, `head` say, is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    stop.abort();
  });
  try {
    const onReload = (listener: () => void) => void process.on('SIGHUP', listener);
    await createProgram({ stdin, stdout, stderr, stop: stop.signal, onReload, now: clock() }).parseAsync(argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (stop.signal.aborted) return 130;
    stderr.write(`sandpit: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
}

void main(process.argv).then((code) => {
  process.exitCode = code;
});

import type { Logger } from 'pino';
import type { ServerChannel, Session, SFTPWrapper } from 'ssh2';
import { stagedFor } from '../api/instavm/machine/staged-env.ts';
import { placeOf } from '../api/instavm/machine/target.ts';
import { limitUnread } from '../internals/ssh2.ts';
import type { TerminalSize } from '../machines/agent/processes.ts';
import { Command } from './command.ts';
import type { Opened } from './opened.ts';
import { scpCommand } from './scp.ts';
import { serveSftp } from './sftp/server.ts';

/** How many variables a client may set, and how many characters they may have in all. */
const [maxVariables, maxCharacters] = [256, 131_072];

/** Runs the rest of its arguments, which are those of a shell, in bash if the image has it. */
const shell = 'if [ -x /bin/bash ]; then exec /bin/bash "$@"; fi; exec /bin/sh "$@"';

/**
 * Serves one session of a connection: a command, a shell, or files. Nothing of it runs on when the
 * client leaves, unless it ignores the signal SIGHUP.
 */
export function serveSession(session: Session, { socket, gone, reach }: Opened, log: Logger): void {
  const env = new Map<string, string>();
  let characters = 0;
  let terminal: (TerminalSize & { name: string }) | null = null;
  let command: Command | null = null;
  const left = new AbortController();
  session.once('close', () => {
    env.clear();
    left.abort();
  });
  const ended = AbortSignal.any([gone, left.signal]);
  session.on('env', (accept, reject, { key, val }) => {
    characters += key.length + val.length;
    const isFine = /^[A-Za-z_]\w*$/.test(key) && !val.includes('\0') && characters <= maxCharacters;
    if (!isFine || env.size >= maxVariables) return void reject?.();
    env.set(key, val);
    accept?.();
  });
  session.on('pty', (accept, _reject, { cols, rows, ...info }) => {
    // @types/ssh2 leaves the name of the terminal out.
    const { term = 'xterm' } = info as { term?: string };
    terminal = { ...sizeOf(cols, rows), name: /^[\w.+-]{1,64}$/.test(term) ? term : 'xterm' };
    accept?.();
  });
  session.on('window-change', (accept, _reject, { cols, rows }) => {
    command?.resize(sizeOf(cols, rows));
    accept?.();
  });
  session.on('signal', (accept, _reject, { name }) => {
    command?.signal(name);
    accept?.();
  });
  // ssh2 gives no channel to a second request of a session.
  const run = async (channel: ServerChannel | undefined, args: string[]) => {
    if (!channel) return;
    limitUnread(channel, () => socket.destroy());
    const running = new Command({ channel, socket, ended });
    command = running;
    const machine = reach().then(async (target) => {
      const { user, env: own } = placeOf(target);
      const { columns, rows, name } = terminal ?? {};
      return {
        agent: await target.agent(),
        user,
        cwd: '',
        args: ['/bin/sh', '-c', shell, 'sh', ...args],
        env: { ...(name && { TERM: name }), ...own, ...stagedFor(target), ...Object.fromEntries(env) },
        terminal: columns && rows ? { columns, rows } : null,
      };
    });
    await running.run(machine);
  };
  const report = (error: unknown) => log.error({ err: error }, 'an SSH session failed');
  session.once('shell', (accept) => void run(accept(), ['-l']).catch(report));
  session.once('exec', (accept, _reject, { command: text }) => {
    run(accept(), ['-c', scpCommand(text)]).catch(report);
  });
  session.once('sftp', (accept) => {
    const sftp: SFTPWrapper | undefined = accept();
    if (sftp) serveSftp(sftp, { socket, ended, reach });
  });
}

function sizeOf(columns: number, rows: number): TerminalSize {
  const within = (count: number, fallback: number) => Math.min(count || fallback, 65_535);
  return { columns: within(columns, 80), rows: within(rows, 24) };
}

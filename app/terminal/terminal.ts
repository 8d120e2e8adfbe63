import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Output } from './output.ts';
import { printable } from './printable.ts';

/** What a command talks to: the process's own streams and clock, and a signal that says to stop. */
export type Terminal = {
  stdin: NodeJS.ReadStream;
  /** Aborts `stop` once something written to it is lost. */
  stdout: Output;
  /** Nobody is told where something written to it is lost. */
  stderr: Output;
  /** Says to stop. Until a command reads it, signals end the process at once. */
  readonly stop: AbortSignal;
  /** Calls back whenever the process is told to read its files again, which else would end it (SIGHUP). */
  onReload: (listener: () => void) => void;
  /** Returns milliseconds since 1970. */
  now: () => number;
};

/** Returns rows as aligned columns under their headings; nothing but the headings where there are no rows. */
export function table(headings: string[], rows: (string | number | null)[][]): string {
  const cells = [headings, ...rows.map((row) => row.map((cell) => printable(String(cell ?? '-'))))];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** Returns a password: asked for twice without showing it, or the whole of standard input where that is no terminal. */
export async function readPassword({ stdin, stderr, stop }: Terminal): Promise<string> {
  if (!stdin.isTTY) return (await text(stdin)).replace(/\r?\n$/, '');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: stdin, output: silent, terminal: true });
  try {
    const ask = async (question: string) => {
      stderr.write(question);
      const answer = await prompt.question('', { signal: stop });
      stderr.write('\n');
      return answer;
    };
    const password = await ask('Password: ');
    if ((await ask('Again: ')) !== password) throw new Error('the passwords are not the same');
    return password;
  } finally {
    prompt.close();
  }
}

/**
 * Asks before something is done that can't be undone. Throws an Error unless the answer is yes. Where nobody is there to
 * answer, in a script say, or with `--yes`, it asks nothing.
 */
export async function confirm({ stdin, stderr, stop }: Terminal, question: string, yes = false): Promise<void> {
  if (yes || !stdin.isTTY || !stderr.isTTY) return;
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await prompt.question(`${printable(question)} [y/N] `, { signal: stop });
    if (!/^y(es)?$/i.test(answer.trim())) throw new Error('nothing was changed: the answer was not yes');
  } finally {
    prompt.close();
  }
}

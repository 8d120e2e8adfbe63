import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Output } from './output.ts';
import { printable } from './printable.ts';

/** The surroundings of a command: the streams and clock of the process, and the signal to stop. */
export type Terminal = {
  stdin: NodeJS.ReadStream;
  /** A lost text aborts `stop`. */
  stdout: Output;
  /** Lost texts are ignored. */
  stderr: Output;
  /**
   * Aborts on SIGINT and SIGTERM. Until a command reads this property, these signals end the
   * process at once.
   */
  readonly stop: AbortSignal;
  /**
   * Calls back on SIGHUP, the request to reload files. Without a listener, SIGHUP ends the process.
   */
  onReload: (listener: () => void) => void;
  /** Returns the time in milliseconds since 1970. */
  now: () => number;
};

/** Returns the rows in aligned columns under their headings; null is shown as `-`. */
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

/**
 * Returns a password. On a terminal it is typed twice and not shown; otherwise it is all of
 * standard input. Throws an Error if the two differ.
 */
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
    if ((await ask('Again: ')) !== password) throw new Error('the two passwords differ');
    return password;
  } finally {
    prompt.close();
  }
}

/**
 * Asks for confirmation before an irreversible step. Throws an Error if the answer is not yes. Does
 * not ask with `--yes`, or if no terminal is connected, for example in a script.
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

import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the stand-in for msb answers to a command; `next` is what it does instead of ending. */
export type Answer = { out?: unknown; err?: string; code?: number; next?: 'hangs' | 'floods' };

/** A program that stands in for msb: it answers what real ones said and notes its arguments. */
export class FakeMsb {
  readonly path: string;
  readonly #answers: string;
  readonly #calls: string;

  constructor(folder: string) {
    this.path = join(folder, 'msb');
    this.#answers = join(folder, 'answers');
    this.#calls = join(folder, 'calls');
    writeFileSync(this.#calls, '');
    mkdirSync(this.#answers);
    writeFileSync(this.path, script(this.#answers, this.#calls));
    chmodSync(this.path, 0o755);
  }

  /**
   * Says what a command, e.g. `list` or `image inspect`, is answered from now on: one answer after
   * another, the last for ever. Other commands succeed and print nothing.
   */
  answer(command: string, ...answers: Answer[]): void {
    for (let n = 0; n < 10; n++) rmSync(join(this.#answers, `${command}~${n}`), { force: true });
    for (const [n, answer] of answers.entries()) writeFileSync(join(this.#answers, `${command}~${n}`), shellOf(answer));
  }

  /** Returns the arguments of all calls, each as one line. */
  get calls(): string[] {
    return readFileSync(this.#calls, 'utf8').split('\n').filter(Boolean);
  }

  /** Returns the calls of a command. */
  callsOf(command: string): string[] {
    return this.calls.filter((call) => call.startsWith(`${command} `));
  }
}

function script(answers: string, calls: string): string {
  return `#!/bin/sh
call="$*"
note() { echo "$call" >> '${calls}'; }
for key in "$1 $2" "$1"; do
  for answer in '${answers}'/"$key"~[0-9]; do
    [ -e "$answer" ] || continue
    number=\${answer##*~}
    if [ -e '${answers}'/"$key~$((number + 1))" ]; then mv "$answer" "$answer-used"; answer="$answer-used"; fi
    . "$answer"
  done
done
note
`;
}

function shellOf({ out, err = '', code = 0, next }: Answer): string {
  const text = typeof out === 'string' || out === undefined ? (out ?? '') : JSON.stringify(out);
  const quoted = (words: string) => `'${words.replaceAll("'", `'\\''`)}'`;
  const last = { hangs: 'exec sleep 20', floods: 'exec cat /dev/zero' };
  return `printf %s ${quoted(text)}; printf %s ${quoted(err)} >&2; note; ${next ? last[next] : `exit ${code}`}\n`;
}

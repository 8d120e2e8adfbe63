import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { wholeNumber } from '../bench/program.ts';

export type Options = { kills: number; seconds: number; seed: number; dir: string };

export const usage = `npm run torture -- [options]

  --kills N         how often the server is killed, 200
  --seconds N       how long that may take, 600
  --seed N          what the moments and the writes are drawn from; printed with the result
  --dir DIRECTORY   where the database is (${tmpdir()})

TEST_EXECUTABLE=FILE runs that file as the server. The trials of disks mount some: they need root.
`;

/** Returns the options. Throws UsageError or an error of parseArgs. */
export function readOptions(args: string[]): Options & { help: boolean } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: { kills: text, seconds: text, seed: text, dir: text, help: { type: 'boolean' } },
  });
  return {
    help: values.help ?? false,
    kills: wholeNumber(values.kills ?? '200'),
    seconds: wholeNumber(values.seconds ?? '600'),
    seed: wholeNumber(values.seed ?? String(1 + Math.floor(Math.random() * 1e6))),
    dir: values.dir ?? tmpdir(),
  };
}

import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { wholeNumber } from '../bench/program.ts';
import type { EngineName } from '../machines/engines/engines.ts';

export type Options = {
  kills: number;
  seconds: number;
  seed: number;
  dir: string;
  /** whether to kill a server with machines */
  machines: boolean;
  /** a container engine and its image, or the name of one to start; undefined: plain processes */
  engine: { address: string; image: string } | EngineName | undefined;
};

export const usage = `npm run torture -- [options]

  --kills N         how often the server is killed, 200
  --seconds N       how long that may take, 600
  --seed N          what the moments and the writes are drawn from; printed with the result
  --dir DIRECTORY   where the database is (${tmpdir()})
  --machines        kill a server with machines in the middle of creates, pauses, snapshots and so on, and nothing else
  --engine ADDRESS  with --machines: use this container engine instead of plain processes;
                    docker and podman start one, which needs root and Debian's packages
  --image REFERENCE with --engine: an image that the engine has

TEST_EXECUTABLE=FILE runs that file as the server. The trials of disks mount some: they need root.
`;

/** Returns the options. Throws UsageError or an error of parseArgs. */
export function readOptions(args: string[]): Options & { help: boolean } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      kills: text,
      seconds: text,
      seed: text,
      dir: text,
      machines: { type: 'boolean' },
      engine: text,
      image: text,
      help: { type: 'boolean' },
    },
  });
  return {
    help: values.help ?? false,
    kills: wholeNumber(values.kills ?? '200'),
    seconds: wholeNumber(values.seconds ?? '600'),
    seed: wholeNumber(values.seed ?? String(1 + Math.floor(Math.random() * 1e6))),
    dir: values.dir ?? tmpdir(),
    machines: values.machines ?? false,
    engine: engineOf(values.engine, values.image ?? 'base'),
  };
}

function engineOf(engine: string | undefined, image: string): Options['engine'] {
  if (engine === undefined || engine === 'docker' || engine === 'podman') return engine;
  return { address: engine, image };
}

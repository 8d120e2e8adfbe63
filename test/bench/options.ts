import { availableParallelism, tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { EngineName } from '../machines/engines/engines.ts';
import { UsageError, wholeNumber } from './program.ts';

const engineNames: EngineName[] = ['docker', 'podman'];

export const parts = ['store', 'create', 'start', 'http', 'fairness', 'webhooks', 'machines'] as const;
/** Measured only when it is asked for, because it needs root and container engines. */
const asked = 'machines';
export type Part = (typeof parts)[number];

export type Options = {
  full: boolean;
  only: Part[];
  sizes: number[];
  rounds: number;
  filter: RegExp;
  dir: string;
  json: string | undefined;
  plot: string | undefined;
  /** The container engines to start. */
  engines: EngineName[];
  /** How long mixed calls are made to machines. */
  seconds: number;
};

/**
 * The context of a run: options, a directory for files, and the optional servers to compare with.
 */
export type Bench = {
  options: Options;
  dir: string;
  /** The directory of PostgreSQL's socket. */
  postgres: string | null;
  /** The path of the Python with FastAPI. */
  python: string | null;
};

export const usage = `npm run bench -- [options]

  --full            up to a million sandboxes, against PostgreSQL and FastAPI where they are installed
  --only PARTS      some of ${parts.join(',')}; all but ${asked} unless given
  --sizes NUMBERS   sandboxes in the store, as 1000,100000
  --rounds NUMBER   rounds of each trial, 5
  --filter REGEXP   only store filters, and steps of machines, whose name matches
  --dir DIRECTORY   where files are written; the disk matters for creating (${tmpdir()})
  --engines NAMES   engines for machines, docker,podman: it starts its own; needs root
  --seconds NUMBER  how long mixed calls are made to machines, 60
  --json FILE       write every figure (- prints it)
  --plot FILE       draw time against size, as SVG
`;

/** Returns the options. Throws UsageError or an error of parseArgs. */
export function readOptions(args: string[]): Options & { help: boolean } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      full: { type: 'boolean' },
      help: { type: 'boolean' },
      only: text,
      sizes: text,
      rounds: text,
      filter: text,
      dir: text,
      json: text,
      plot: text,
      engines: text,
      seconds: text,
    },
  });
  const full = values.full ?? false;
  return {
    help: values.help ?? false,
    full,
    only: (values.only ?? parts.filter((part) => part !== asked).join(',')).split(',').map(partNamed),
    sizes: (values.sizes ?? (full ? '1000,100000,1000000' : '1000,100000')).split(',').map(wholeNumber),
    rounds: wholeNumber(values.rounds ?? '5'),
    filter: new RegExp(values.filter ?? ''),
    dir: values.dir ?? tmpdir(),
    json: values.json,
    plot: values.plot,
    engines: (values.engines ?? engineNames.join(',')).split(',').map(engineNamed),
    seconds: wholeNumber(values.seconds ?? '60'),
  };
}

/** Returns whether the client and the server can each have a core. */
export function hasTwoCores(): boolean {
  return availableParallelism() > 1;
}

function partNamed(name: string): Part {
  const part = parts.find((each) => each === name);
  if (!part) throw new UsageError(`--only takes some of ${parts.join(',')}, not '${name}'`);
  return part;
}

function engineNamed(name: string): EngineName {
  const engine = engineNames.find((each) => each === name);
  if (!engine) throw new UsageError(`--engines takes some of ${engineNames.join(',')}, not '${name}'`);
  return engine;
}

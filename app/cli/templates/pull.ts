import type { Command } from 'commander';
import { readInstance } from '../../../db/machines/instance.ts';
import { listTemplates } from '../../../db/machines/templates.ts';
import { ConfigError, readConfig } from '../../config/config.ts';
import { createLog } from '../../log/log.ts';
import { chooseMachines } from '../../machines/choose/at-start.ts';
import type { Choice } from '../../machines/choose/choose.ts';
import type { Driver } from '../../machines/driver.ts';
import { MachineError } from '../../machines/error.ts';
import { type Template, withBase } from '../../machines/images/images.ts';
import { openDriver } from '../../machines/open.ts';
import type { Output } from '../../terminal/output.ts';
import { jsonLine, printable } from '../../terminal/printable.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addSettings, withStore } from '../options.ts';
import { nameOf } from './name.ts';

/** How often progress is shown where standard error is no terminal. */
const lineMilliseconds = 10_000;

type Flags = Record<string, unknown> & { json?: boolean };

/** Images to pull, each with the templates that stand for it. */
type Wanted = Map<string, string[]>;

export function pullCommand(templates: Command, terminal: Terminal): void {
  addSettings(templates.command('pull [name]'), ['db', 'machines', 'msb', 'engine', 'image'])
    .description("fetch the newest version of a template's image, or of all templates' (into what serve would choose)")
    .option('--json', 'print JSON')
    .action(async (given: string | undefined, flags: Flags) => {
      const { stop } = terminal;
      const config = readConfig(flags);
      const name = given === undefined ? undefined : nameOf(given);
      const log = createLog('silent', terminal.stderr);
      const { instance, wanted, choice } = await withStore(flags, async (store) => ({
        instance: (await readInstance(store.db)).id,
        wanted: imagesOf(withBase(await listTemplates(store.db), config), name),
        choice: await chooseMachines({ config, store, now: terminal.now, log }),
      }));
      const driver = await openDriver(driverOf(choice), config, { instance, log });
      try {
        await pullAll(driver, wanted, flags.json ?? false, terminal);
        stop.throwIfAborted();
      } finally {
        await driver.close();
      }
    });
}

function driverOf({ driver, because }: Choice): Driver['name'] {
  if (driver !== null) return driver;
  const reason = because === 'setting' ? 'SANDPIT_MACHINES is none' : 'sandboxes are records only here';
  throw new ConfigError(`${reason}, so there is no engine: add --machines docker or microvm`);
}

/** Throws an Error for an unknown name. */
function imagesOf(templates: Template[], name: string | undefined): Wanted {
  const chosen = templates.filter((template) => name === undefined || template.name === name);
  if (chosen.length === 0) throw new Error(`there is no template '${name}': see sandpit templates list`);
  const byImage = Map.groupBy(chosen, ({ image }) => image);
  return new Map([...byImage].map(([image, of]) => [image, of.map((template) => template.name)]));
}

/** Throws an Error that says how many failed, after all were tried. */
async function pullAll(
  driver: Driver,
  wanted: Wanted,
  isJson: boolean,
  { stdout, stderr, stop }: Terminal,
): Promise<void> {
  const pulled: object[] = [];
  let failures = 0;
  for (const [image, templates] of wanted) {
    const progress = new Progress(stderr, image);
    try {
      await driver.pull(image, (words) => progress.show(words), stop);
      progress.clear();
      const found = await driver.image(image);
      pulled.push({ image, templates, id: found?.id ?? null, size_bytes: found?.sizeBytes ?? null });
      if (!isJson) stdout.write(`Pulled ${printable(image)} (${templates.join(', ')}).\n`);
    } catch (error) {
      progress.clear();
      stop.throwIfAborted();
      if (!(error instanceof MachineError) || wanted.size === 1) throw failure(image, error);
      failures++;
      stderr.write(`sandpit: ${printable(failure(image, error).message)}\n`);
    }
  }
  if (isJson) stdout.write(jsonLine(pulled));
  if (failures > 0) throw new Error(`${failures} of ${wanted.size} images could not be pulled`);
}

function failure(image: string, error: unknown): Error {
  return new Error(`${image} could not be pulled: ${(error as Error).message}`, { cause: error });
}

/** Shows how far a pull is: on one line of a terminal, elsewhere in a line now and then. */
class Progress {
  readonly #output: Output;
  readonly #image: string;
  #shownAt = performance.now();

  constructor(output: Output, image: string) {
    this.#output = output;
    this.#image = image;
  }

  show(words: string): void {
    const text = printable(`${this.#image}: ${words}`);
    if (this.#output.isTTY) this.#output.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    else if (performance.now() - this.#shownAt >= lineMilliseconds) {
      this.#output.write(`${text}\n`);
      this.#shownAt = performance.now();
    }
  }

  clear(): void {
    if (this.#output.isTTY) this.#output.write('\r\x1b[K');
  }
}

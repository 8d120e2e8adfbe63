import type { User } from '../../db/accounts/users.ts';
import { engineOf } from '../../db/engine.ts';
import { type Origin, recordEvent } from '../../db/events/record.ts';
import { SandboxInserter } from '../../db/sandboxes/insert.ts';
import type { Trx } from '../../db/store.ts';
import type { Clock } from '../../spec/time.ts';
import { type Line, linesOf } from './json-lines.ts';
import { parseRecord, type SandboxRecord, toSandbox } from './record.ts';

/** The metadata index is written once for this many sandboxes or index entries. */
const batchSize = 10_000;
const maxPending = 250_000;

/** Inserts exported sandboxes of any owners. They are complete once `finish` has resolved. */
export class SandboxImporter {
  readonly #trx: Trx;
  readonly #clock: Clock;
  readonly #origin: Origin;
  readonly #findOwner: (name: string) => Promise<User>;
  readonly #owners = new Map<string, { ownerId: number; count: number }>();
  readonly #inserter: SandboxInserter;
  count = 0;

  /** `findOwner` is called once for each owner; `add` passes on its errors. */
  constructor(trx: Trx, clock: Clock, origin: Origin, findOwner: (name: string) => Promise<User>) {
    this.#trx = trx;
    this.#clock = clock;
    this.#origin = origin;
    this.#findOwner = findOwner;
    this.#inserter = new SandboxInserter(trx);
  }

  /**
   * Returns whether this call wrote a batch. Throws an Error that says why the record can't be
   * inserted.
   */
  async add(record: SandboxRecord): Promise<boolean> {
    const owner = this.#owners.get(record.owner) ?? { ownerId: (await this.#findOwner(record.owner)).id, count: 0 };
    this.#owners.set(record.owner, owner);
    await this.#inserter.add(toSandbox(record, owner.ownerId));
    owner.count++;
    if (++this.count % batchSize > 0 && this.#inserter.pending < maxPending) return false;
    await this.#inserter.flush();
    return true;
  }

  /** Writes the last batch, and records an event for each owner. */
  async finish(): Promise<void> {
    await this.#inserter.flush();
    for (const [name, { ownerId, count }] of this.#owners) {
      const event = { kind: 'vm.imported' as const, subject: name, sandboxId: null, details: { count } };
      await recordEvent(this.#trx, this.#clock(), { ...this.#origin, ownerId }, event);
      await engineOf(this.#trx).index.restoreOrder(this.#trx, ownerId);
    }
  }
}

/**
 * Imports JSON lines and finishes. Returns the number of sandboxes. Throws an Error that names the
 * line, or the reason of `stop`.
 */
export async function importLines(
  importer: SandboxImporter,
  input: AsyncIterable<Buffer> | Iterable<Buffer>,
  { stop, onBatch = () => {} }: { stop: AbortSignal; onBatch?: () => void },
): Promise<number> {
  try {
    for await (const line of linesOf(input)) {
      stop.throwIfAborted();
      if (await addLine(importer, line)) onBatch();
    }
    await importer.finish();
    return importer.count;
  } catch (error) {
    stop.throwIfAborted();
    throw new Error(`nothing was imported: ${(error as Error).message}`, { cause: error });
  }
}

async function addLine(importer: SandboxImporter, { number, text }: Line): Promise<boolean> {
  try {
    return await importer.add(parseRecord(text));
  } catch (error) {
    throw new Error(`line ${number}: ${(error as Error).message}`, { cause: error });
  }
}

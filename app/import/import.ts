import type { User } from '../../db/accounts/users.ts';
import { type Origin, recordEvent } from '../../db/events/record.ts';
import { isObject, type JsonObject, maxDepth, parseJson } from '../../db/json/json.ts';
import { readJson } from '../../db/json/reader.ts';
import { defaultSize, type NewSandbox, SandboxInserter } from '../../db/sandboxes/insert.ts';
import { disorderOf } from '../../db/sqlite/index/ordinals.ts';
import { reorder } from '../../db/sqlite/index/reindex.ts';
import type { Trx } from '../../db/store.ts';
import { type Contract, loadContract, type Schema } from '../../spec/load.ts';
import { type Clock, readTime, type Time } from '../../spec/time.ts';
import type { components } from '../../spec/types.gen.ts';
import { ProblemList } from '../contract/problems/problem-list.ts';
import { shortened } from '../contract/problems/problems.ts';
import type { Problem } from '../errors.ts';
import { type Line, linesOf } from './json-lines.ts';

export type SandboxRecord = components['schemas']['SandboxRecord'];

/** After so many sandboxes or entries of the index it is written, once for all of them. */
const batchSize = 10_000;
const maxPending = 250_000;

/** So many problems of a line are told; the rest is counted. */
const maxTold = 10;

/** Adds sandboxes as they were exported, of any owners. They count once `finish` has returned. */
export class RecordImporter {
  readonly #trx: Trx;
  readonly #clock: Clock;
  readonly #origin: Origin;
  readonly #findOwner: (name: string) => Promise<User>;
  readonly #owners = new Map<string, { ownerId: number; count: number }>();
  readonly #inserter: SandboxInserter;
  count = 0;

  /** `findOwner` is asked once for each name; what it throws, `add` throws. */
  constructor(trx: Trx, clock: Clock, origin: Origin, findOwner: (name: string) => Promise<User>) {
    this.#trx = trx;
    this.#clock = clock;
    this.#origin = origin;
    this.#findOwner = findOwner;
    this.#inserter = new SandboxInserter(trx);
  }

  /** Returns whether the index was written. Throws an Error that says what is wrong with the record. */
  async add(record: SandboxRecord): Promise<boolean> {
    requireObjects(record);
    const owner = this.#owners.get(record.owner) ?? { ownerId: (await this.#findOwner(record.owner)).id, count: 0 };
    this.#owners.set(record.owner, owner);
    await this.#inserter.add(toSandbox(record, owner.ownerId));
    owner.count++;
    if (++this.count % batchSize > 0 && this.#inserter.pending < maxPending) return false;
    await this.#inserter.flush();
    return true;
  }

  async finish(): Promise<void> {
    await this.#inserter.flush();
    for (const [name, { ownerId, count }] of this.#owners) {
      const event = { kind: 'vm.imported' as const, subject: name, sandboxId: null, details: { count } };
      await recordEvent(this.#trx, this.#clock(), { ...this.#origin, ownerId }, event);
      if ((await disorderOf(this.#trx, ownerId)) > 0) await reorder(this.#trx, ownerId);
    }
  }
}

/**
 * Adds the records of JSON lines and finishes; returns how many there were.
 * Throws an Error that names the line, or the signal's reason once it says to stop.
 */
export async function importLines(
  importer: RecordImporter,
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

async function addLine(importer: RecordImporter, { number, text }: Line): Promise<boolean> {
  try {
    return await importer.add(readRecord(text));
  } catch (error) {
    throw new Error(`line ${number}: ${(error as Error).message}`, { cause: error });
  }
}

let contract: Contract | undefined;

/** Returns the record that a line holds. Throws an Error that says what is wrong with it, and where. */
function readRecord(text: string): SandboxRecord {
  const record = parseJson(text, maxDepth + 1);
  contract ??= loadContract();
  const list = new ProblemList(contract);
  list.check([], contract.components.schemas.SandboxRecord as Schema, readJson(text));
  const { problems, unlisted } = list;
  if (problems.length === 0) return record as SandboxRecord;
  const more = problems.length - maxTold + unlisted;
  throw new Error(problems.slice(0, maxTold).map(toldProblem).join('; ') + (more > 0 ? `; and ${more} more` : ''));
}

function toldProblem({ loc, msg, ctx }: Problem): string {
  const said = typeof ctx?.error === 'string' ? ctx.error : msg;
  return loc.length === 0 ? said : `${loc.map(shortened).join('.')}: ${said}`;
}

function toSandbox(record: SandboxRecord, ownerId: number): NewSandbox {
  return {
    id: record.sandbox_id,
    ownerId,
    templateId: record.template_id ?? null,
    metadata: record.metadata as JsonObject,
    env: record.env ?? null,
    memoryMb: record.memory_mb ?? defaultSize.memoryMb,
    vcpuCount: record.vcpu_count ?? defaultSize.vcpuCount,
    startedAt: timeOf(record.started_at),
    endAt: record.end_at ? timeOf(record.end_at) : null,
    status: record.status,
    onTimeout: record.on_timeout,
    firstStartedAt: record.first_started_at ? timeOf(record.first_started_at) : null,
    settings: record.settings as JsonObject | undefined,
  };
}

/** A number that JavaScript can't hold is an object to the schema checker. */
function requireObjects(record: SandboxRecord): void {
  for (const name of ['metadata', 'env', 'settings'] as const) {
    if (record[name] && !isObject(record[name])) throw new Error(`${name} must be object`);
  }
}

/** The text has the contract's format by now. */
function timeOf(text: string): number {
  return (readTime(text) as Time).milliseconds;
}

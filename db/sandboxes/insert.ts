import type { Insertable } from 'kysely';
import { StoreError } from '../errors.ts';
import type { JsonObject } from '../json/json.ts';
import { metadataText, settingsText } from '../metadata.ts';
import { query } from '../prepared.ts';
import { randomBytes } from '../random.ts';
import type { OnTimeout, SandboxStatus, Tables } from '../schema.ts';
import { isUniqueViolation } from '../sqlite/driver/failures.ts';
import { OrdinalCounters } from '../sqlite/index/ordinals.ts';
import { indexedPairs, PairCollector } from '../sqlite/index/pairs.ts';
import { positionOf } from '../sqlite/index/positions.ts';
import type { Trx } from '../store.ts';

export type NewSandbox = {
  id: string;
  ownerId: number;
  templateId: string | null;
  metadata: JsonObject;
  env: Record<string, string> | null;
  memoryMb: number;
  vcpuCount: number;
  startedAt: number;
  endAt: number | null;
  status: SandboxStatus;
  /** `kill` unless given */
  onTimeout?: OnTimeout | undefined;
  /** null unless given: this is its first run */
  firstStartedAt?: number | null | undefined;
  /** what a client wants kept and no rule reads */
  settings?: JsonObject | null | undefined;
};

/** The size of a sandbox that nobody gave one; the contract names the same. */
export const defaultSize = { memoryMb: 512, vcpuCount: 2 };

/** Returns a new id: `i` and 20 of `[a-z0-9]`; E2B's clients take no other alphabet. */
export function newSandboxId(): string {
  return `i${randomDigits()}`;
}

/** Returns 20 of `[a-z0-9]`, 103 random bits. */
export function randomDigits(): string {
  const digits = [...randomBytes(48)].filter((byte) => byte < 252).map((byte) => (byte % 36).toString(36));
  return digits.length < 20 ? randomDigits() : digits.slice(0, 20).join('');
}

/** Adds one sandbox. Throws as `SandboxInserter.add` does. */
export async function insertSandbox(trx: Trx, sandbox: NewSandbox): Promise<void> {
  const inserter = new SandboxInserter(trx);
  await inserter.add(sandbox);
  await inserter.flush();
}

/** Adds many sandboxes. What was added is findable after the next `flush`; nothing may be written to them before. */
export class SandboxInserter {
  readonly #trx: Trx;
  readonly #ordinals: OrdinalCounters;
  readonly #pairs = new PairCollector();
  readonly #texts = {
    metadata: rememberingLast(metadataText),
    settings: rememberingLast(settingsText),
    env: rememberingLast((env: object) => JSON.stringify(env)),
  };
  readonly #pairsOf = rememberingLast(indexedPairs);

  constructor(trx: Trx) {
    this.#trx = trx;
    this.#ordinals = new OrdinalCounters(trx);
  }

  /**
   * Those of one owner are best given in the order they started.
   * Throws StoreError `conflict` when the id is taken, JsonError when the metadata is too large.
   */
  async add(sandbox: NewSandbox): Promise<void> {
    const { ownerId, metadata, startedAt } = sandbox;
    const ordinal = await this.#ordinals.claim(ownerId, startedAt);
    await insertRow(this.#trx, this.#rowOf(sandbox, positionOf(ownerId, ordinal))).catch((error) => {
      if (!isUniqueViolation(error)) throw error;
      throw new StoreError('conflict', `a sandbox ${sandbox.id} exists already`, { cause: error });
    });
    this.#pairs.add(ownerId, ordinal, this.#pairsOf(metadata));
  }

  /** How many entries of the index wait for `flush`. */
  get pending(): number {
    return this.#pairs.size;
  }

  async flush(): Promise<void> {
    await this.#ordinals.save();
    await this.#pairs.save(this.#trx);
  }

  #rowOf(sandbox: NewSandbox, position: number): Row {
    return {
      position,
      id: sandbox.id,
      owner_id: sandbox.ownerId,
      template_id: sandbox.templateId,
      metadata: this.#texts.metadata(sandbox.metadata),
      env: sandbox.env && this.#texts.env(sandbox.env),
      memory_mb: sandbox.memoryMb,
      vcpu_count: sandbox.vcpuCount,
      started_at: sandbox.startedAt,
      end_at: sandbox.endAt,
      status: sandbox.status,
      on_timeout: sandbox.onTimeout ?? 'kill',
      first_started_at: sandbox.firstStartedAt ?? null,
      settings: sandbox.settings ? this.#texts.settings(sandbox.settings) : null,
    };
  }
}

type Row = Required<Insertable<Tables['sandboxes']>>;

/** Returns `make`, but called again with the same object it returns what it has returned: copies share their texts. */
function rememberingLast<A extends object, R>(make: (value: A) => R): (value: A) => R {
  let last: { value: A; result: R } | undefined;
  return (value) => {
    if (last?.value !== value) last = { value, result: make(value) };
    return last.result;
  };
}

const insertRow = query<Row, unknown>((db, value) =>
  db.insertInto('sandboxes').values({
    position: value('position'),
    id: value('id'),
    owner_id: value('owner_id'),
    template_id: value('template_id'),
    metadata: value('metadata'),
    env: value('env'),
    memory_mb: value('memory_mb'),
    vcpu_count: value('vcpu_count'),
    started_at: value('started_at'),
    end_at: value('end_at'),
    status: value('status'),
    on_timeout: value('on_timeout'),
    first_started_at: value('first_started_at'),
    settings: value('settings'),
  }),
);

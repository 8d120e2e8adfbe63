import type { Insertable } from 'kysely';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { JsonObject } from '../json/json.ts';
import { memoizeLast } from '../memoize.ts';
import { metadataText, settingsText } from '../metadata.ts';
import type { IndexBatch } from '../metadata-index.ts';
import { query } from '../prepared.ts';
import { randomDigits } from '../random.ts';
import type { OnTimeout, SandboxStatus, Tables } from '../schema.ts';
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
  /** default: `kill` */
  onTimeout?: OnTimeout | undefined;
  /** default: null, for a first run */
  firstStartedAt?: number | null | undefined;
  /** what a client stores with the sandbox and no rule reads */
  settings?: JsonObject | null | undefined;
  /** default: null, for a session of its own */
  sessionId?: string | null | undefined;
  devbox?: Devbox | null | undefined;
};

/** What InstaVM's client calls a sandbox that it started from a template. */
export type Devbox = { name: string | null; templateSlug: string };

/**
 * The size of a sandbox when the request and the snapshot name none. The contract names the same.
 */
export const defaultSize = { memoryMb: 512, vcpuCount: 2 };

/** Returns a new id: `i` and 20 of `[a-z0-9]`. E2B's clients accept no other alphabet. */
export function newSandboxId(): string {
  return `i${randomDigits()}`;
}

/**
 * Inserts sandboxes. Searches find them after the next `flush`; until then nothing else may change
 * them.
 */
export class SandboxInserter {
  readonly #trx: Trx;
  readonly #index: IndexBatch;
  readonly #texts = {
    metadata: memoizeLast(metadataText),
    settings: memoizeLast(settingsText),
    env: memoizeLast((env: object) => JSON.stringify(env)),
  };

  constructor(trx: Trx) {
    this.#trx = trx;
    this.#index = engineOf(trx).index.batch(trx);
  }

  /**
   * Inserts a sandbox. Faster when an owner's sandboxes are added in the order they started.
   * Throws StoreError `conflict` when the id is taken, `invalid` when the settings are too large,
   * JsonError when the metadata is. After an error, roll the transaction back.
   */
  async add(sandbox: NewSandbox): Promise<void> {
    // Before the index, so that a text that is too large costs nothing more.
    const row = this.#rowOf(sandbox);
    const position = await this.#index.add(sandbox);
    await insertRow(this.#trx, { ...row, position }).catch((error) => {
      if (!engineOf(this.#trx).isUniqueViolation(error)) throw error;
      throw new StoreError('conflict', `a sandbox ${sandbox.id} exists already`, { cause: error });
    });
  }

  /** The number of index entries that `flush` will write. */
  get pending(): number {
    return this.#index.pending;
  }

  async flush(): Promise<void> {
    await this.#index.flush();
  }

  #rowOf(sandbox: NewSandbox): Omit<Row, 'position'> {
    return {
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
      session_id: sandbox.sessionId ?? null,
      devbox_name: sandbox.devbox?.name ?? null,
      devbox_template_slug: sandbox.devbox?.templateSlug ?? null,
    };
  }
}

type Row = Required<Insertable<Tables['sandboxes']>>;

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
    session_id: value('session_id'),
    devbox_name: value('devbox_name'),
    devbox_template_slug: value('devbox_template_slug'),
  }),
);

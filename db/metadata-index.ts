import type { JsonObject } from './json/json.ts';
import type { Filter } from './metadata.ts';
import type { Order } from './sandboxes/lists/order.ts';
import type { Db, SandboxStatus, Trx } from './schema.ts';
import type { Turns } from './turns.ts';

/**
 * Finds an owner's sandboxes by what their metadata contains. It assigns each sandbox its row's
 * `position`, by which it later asks for the row; to all other code a position is an opaque key.
 */
export type MetadataIndex = {
  /** Returns a batch that adds sandboxes. */
  batch: (trx: Trx) => IndexBatch;
  /** Indexes new metadata of the sandbox with this id. Call it before the row is updated. */
  replace: (trx: Trx, ownerId: number, id: string, metadata: JsonObject) => Promise<void>;
  /**
   * Moves the sandbox with this id to the newest place, for a new run. Returns the position to
   * store in its row.
   */
  move: (trx: Trx, ownerId: number, id: string, startedAt: number) => Promise<number>;
  /** Removes sandboxes, whose rows the caller deletes. */
  remove: (trx: Trx, sandboxes: Indexed[]) => Promise<void>;
  /** Removes all sandboxes of an owner, whose rows the caller deletes. */
  removeAll: (trx: Trx, ownerId: number) => Promise<void>;
  /**
   * Sorts an owner's sandboxes by start again, if they were not added in that order: searches
   * become faster.
   */
  restoreOrder: (trx: Trx, ownerId: number) => Promise<void>;
  /**
   * Returns the first `limit` matching rows, newest first and ties by id, or in the exact reverse.
   * Other requests run in between, so the rows are not of one snapshot.
   */
  newest: <R extends FoundRow>(db: Db, search: Search, reader: Reader<R>) => Promise<R[]>;
  /**
   * Returns the number of matching rows. `isDecided` says that the filter and `living` are all the
   * conditions there are, so that most rows need not be read.
   */
  count: <R extends FoundRow>(db: Db, search: Search, isDecided: boolean, reader: Reader<R>) => Promise<number>;
  /** Returns how many of the owner's sandboxes are active at a time. */
  countActive: (db: Db, ownerId: number, now: number, turns: Turns) => Promise<number>;
};

/** Adds sandboxes. They are found after `flush`; until then nothing else may change them. */
export type IndexBatch = {
  /**
   * Adds a sandbox and returns the position to store in its row. Faster when an owner's sandboxes
   * are added in the order they started. If its row can't be inserted, roll the transaction back.
   */
  add: (sandbox: { ownerId: number; startedAt: number; metadata: JsonObject }) => Promise<number>;
  /** The number of index entries that `flush` will write. */
  readonly pending: number;
  flush: () => Promise<void>;
};

/** What the index needs of a row to remove it; `metadata` is JSON text. */
export type Indexed = { position: number; ownerId: number; metadata: string };

export type FoundRow = { position: number; id: string; startedAt: number };

/** Sandboxes that have not ended and have one of these statuses at a time. */
export type Living = { statuses: SandboxStatus[]; now: number };

/** A search among one owner's sandboxes. */
export type Search = {
  ownerId: number;
  /** has at least one pair */
  filter: Filter;
  order: Order;
  limit: number;
  /** bounds on the start, in milliseconds since 1970, both included; null: none */
  since: number | null;
  until: number | null;
  /** null: sandboxes that have ended as well */
  living: Living | null;
  turns: Turns;
};

/** How a search reads rows. */
export type Reader<R extends FoundRow> = {
  /**
   * Returns those of the rows at these positions that meet all conditions but the filter, in any
   * order.
   */
  select: (db: Db, positions: number[]) => Promise<R[]>;
  /** Returns a row's metadata as JSON text. */
  metadata: (db: Db, row: R) => Promise<string>;
};

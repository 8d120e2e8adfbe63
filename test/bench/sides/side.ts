import type { Dataset, Row } from '../data.ts';

/** One of the two stores that are compared. Each runs in a process of its own, program.ts. */
export type Side = {
  /** Ways to run a query; the fastest one counts. */
  variants: string[];
  load: (dataset: Dataset) => Promise<{ bytes: number }>;
  list: (query: Query) => Promise<{ id: string }[]>;
  /** Inserts a row, durably, as one of several clients, counted from 0. */
  create: (row: Row, client: number) => Promise<unknown>;
  close: () => Promise<void>;
};

export type Query = { name: string; variant: string; owner: number; filter: object; limit: number };

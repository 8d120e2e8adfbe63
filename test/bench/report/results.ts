import type { Distribution } from '../data.ts';
import type { MachineRow } from '../machines/measured.ts';
import type { Summary } from './stats.ts';

/** Times of store calls are in microseconds, those of requests in milliseconds. */
export type StoreRow = {
  size: number;
  owner: 'all' | 'largest' | 'smallest';
  filter: string;
  rows: number;
  sandpit: Summary;
  postgres?: Summary & { variant: string };
};

export type LoadRow = {
  size: number;
  distribution: Distribution;
  side: string;
  rowsPerSecond: number;
  bytes: number;
};

/** `clients` create at once, each one sandbox at a time. */
export type CreateRow = Summary & { side: string; clients: number; perSecond: number };
export type ImportRow = { size: number; rowsPerSecond: number; bytes: number };
/** How long a start takes, or how much memory or disk something takes. */
export type StartRow = { what: string; value: number; unit: 'ms' | 'MB' };
export type HttpRow = {
  server: string;
  filter: string;
  limit: number;
  perSecond: number;
  p50: number;
  p99: number;
  failures: number;
};
export type FairnessRow = Summary & { server: string; beside: string };

/** Messages a second from a bulk kill to the last message, and posts a second of a bare loop. */
export type WebhookRow = { messages: number; perSecond: number; bare: number };

export type Bar = { what: string; bar: string; measured: string; met: boolean | null };

export type Results = {
  machine: Record<string, string>;
  loads: LoadRow[];
  store: StoreRow[];
  creates: CreateRow[];
  imports: ImportRow[];
  starts: StartRow[];
  http: HttpRow[];
  fairness: FairnessRow[];
  webhooks: WebhookRow[];
  machines: MachineRow[];
  bars: Bar[];
};

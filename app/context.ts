import type { Request } from 'express';
import type { Logger } from 'pino';
import type { EventFeed } from '../db/events/feed.ts';
import type { Store } from '../db/store.ts';
import type { Endpoint } from '../db/webhooks/endpoints.ts';
import type { Contract } from '../spec/load.ts';
import type { Config } from './config/settings.ts';

/** What handlers and background jobs work with. It is built once, complete, and never changes. */
export type Context = {
  config: Config;
  contract: Contract;
  store: Store;
  log: Logger;
  /** Returns how many lines of the log could not be written. */
  lostLogLines: () => number;
  /** Milliseconds since 1970; the only clock that a rule may read. */
  now: () => number;
  /** When each API key was last used, by key id, until the sweeper writes it to the database. */
  keyUse: Map<number, number>;
  /** Whether this is `sandpit serve --test`. */
  isTest: boolean;
  /** Registers what to clear when a test resets the server. Other servers are never reset. */
  onReset: (clear: () => void) => void;
  /** Wakes readers of the event log when it has grown; closed when the server stops. */
  feed: EventFeed;
  /** Null unless metrics are served. */
  metrics: Metrics | null;
  /** Aborted when the server begins to stop. */
  stopping: AbortSignal;
  /** Counts a request against its caller. Throws HttpError 429 past the configured rate. */
  limitRate: (req: Request) => void;
  webhooks: Webhooks;
};

/** Sends events to webhook endpoints. */
export type Webhooks = {
  /** Looks for deliveries that are due; given an endpoint, sends to that one at once. */
  wake: (endpoint?: Pick<Endpoint, 'id' | 'ownerId'>) => void;
  /** Drops all state and sends nothing until `change` has resolved. */
  startOver: (change: () => Promise<void>) => Promise<void>;
};

/** Delivered, to be retried, or failed for good. */
export type WebhookOutcome = 'succeeded' | 'failed' | 'given_up';

/** What the running server counts and times. */
export type Metrics = {
  requestBegan: () => void;
  /** `route` is the contract's path, null for a path that it does not describe. */
  requestEnded: (method: string, route: string | null, status: number, seconds: number) => void;
  /** One task of the sweeper has ended. */
  swept: (task: string, seconds: number, hasFailed: boolean) => void;
  /** A webhook was sent. */
  webhookSent: (outcome: WebhookOutcome) => void;
};

import type { Request } from 'express';
import type { Logger } from 'pino';
import type { User } from '../db/accounts/users.ts';
import type { EventFeed } from '../db/events/feed.ts';
import type { Actor } from '../db/events/record.ts';
import type { LossReason } from '../db/machines/lost.ts';
import type { Sandbox } from '../db/sandboxes/read.ts';
import type { Store, Trx } from '../db/store.ts';
import type { Endpoint } from '../db/webhooks/endpoints.ts';
import type { Contract } from '../spec/load.ts';
import type { Config } from './config/settings.ts';
import type { SignInLinks } from './console/links.ts';
import type { Agent } from './machines/agent/agent.ts';
import type { BuildFiles } from './machines/build-files/build-files.ts';
import type { Background } from './machines/code/background.ts';
import type { Driver } from './machines/driver.ts';
import type { Images } from './machines/images/images.ts';
import type { LaunchOutcome, Order } from './machines/launch/launch.ts';
import type { VerbMetrics } from './machines/lifecycle/timed.ts';
import type { Forks } from './machines/snapshots/fork.ts';
import type { Snapshots } from './machines/snapshots/take.ts';
import type { Usages } from './machines/usage/sampler.ts';

/** Everything that handlers and background jobs use. Built once, it never changes. */
export type Context = {
  config: Config;
  contract: Contract;
  store: Store;
  log: Logger;
  /** Returns the number of log lines that could not be written. */
  lostLogLines: () => number;
  /** Returns milliseconds since 1970. It is the only clock that rules may read. */
  now: () => number;
  /** When each API key was last used, by key id, until the sweeper writes it to the database. */
  keyUse: Map<number, number>;
  /** Whether this is `sandpit serve --test`. */
  isTest: boolean;
  /** Registers a function to call when a test resets the server (only with `--test`). */
  onReset: (clear: () => void) => void;
  /** Wakes readers of the event log when it has grown. Closed when the server stops. */
  feed: EventFeed;
  /** Counts the requests of the last hour. */
  recent: { ended: (status: number, seconds: number) => void; read: () => RecentRequests };
  /** Null unless `metricsPort` is set. */
  metrics: Metrics | null;
  /** Aborted when the server begins to stop. */
  stopping: AbortSignal;
  /** Counts a request against its caller. Throws HttpError 429 past the configured rate. */
  limitRate: (req: Request) => void;
  webhooks: Webhooks;
  /** Links that sign in to the console. */
  links: SignInLinks<User>;
  /** Null with records only. */
  machines: Machines | null;
};

/** The machines behind sandboxes. */
export type Machines = {
  driver: Driver;
  /** Starts a sandbox with its machine, as `Launcher.launch` says. */
  launch: (order: Order) => Promise<Sandbox>;
  /** Pauses a sandbox with its machine, as `pauseMachine` says. */
  pause: (id: string, record: (trx: Trx) => Promise<Sandbox>) => Promise<Sandbox>;
  /** Resumes a sandbox with its machine, as `resumeMachine` says. */
  resume: <T>(id: string, record: (trx: Trx) => Promise<T>, how: { memory?: boolean | undefined }) => Promise<T>;
  /** Changes what a sandbox's machine may reach, as `restrictMachine` says. */
  restrict: (id: string, record: (trx: Trx) => Promise<Sandbox>) => Promise<Sandbox>;
  /** Changes the memory of a sandbox's machine, in MiB, as `resizeMachine` says. */
  resize: (id: string, memoryMb: number, record: (trx: Trx) => Promise<Sandbox>) => Promise<Sandbox>;
  /** Resumes a paused sandbox because a request came for it, as `createWaker` says. */
  wake: (id: string) => Promise<void>;
  /** Returns the access token of a sandbox's machine, which only depends on its id. */
  tokenOf: (id: string) => string;
  /** Returns the token for a sandbox's ports, if they are not public. It only depends on the id. */
  trafficTokenOf: (id: string) => string;
  /**
   * Returns the connection to the agent of a running sandbox's machine, opened if need be. It
   * closes as soon as the sandbox ends or is paused. Throws MachineError.
   */
  agentOf: (id: string) => Promise<Agent>;
  images: Images;
  usages: Usages;
  snapshots: Snapshots;
  forks: Forks;
  builds: Builds;
  executions: Pick<Background, 'start'>;
  buildFiles: BuildFiles;
  /** Removes, in the background, what the driver holds of deleted snapshots. */
  collectSnapshots: () => void;
};

/** Builds templates from code, in machines of their own. */
export type Builds = {
  /**
   * Begins a build that `startBuild` has recorded, in the background, at once or in its turn. It
   * ends as `ready` or `error`, whatever happens.
   */
  start: (buildId: string, by: Actor) => void;
  /** Gives a build up whose row is gone. Nothing of it stays. */
  cancel: (buildId: string) => void;
};

/** Sends events to webhook endpoints. */
export type Webhooks = {
  /** Sends the deliveries that are due. An endpoint given here is sent to at once. */
  wake: (endpoint?: Pick<Endpoint, 'id' | 'ownerId'>) => void;
  /** Drops all state and sends nothing until `change` has resolved. */
  startOver: (change: () => Promise<void>) => Promise<void>;
};

/**
 * The requests of the last hour. Half, 95 and 99 % took at most so many milliseconds; null without
 * requests, infinite above the longest time that is told apart.
 */
export type RecentRequests = {
  requests: number;
  failed: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
};

/** Delivered; failed and to be retried; failed for the last time. */
export type WebhookOutcome = 'succeeded' | 'failed' | 'given_up';

/** Receives what the running server counts and times. */
export type Metrics = VerbMetrics & {
  requestBegan: () => void;
  /** `route` is the path in the contract; null for a path that is not in it. */
  requestEnded: (method: string, route: string | null, status: number, seconds: number) => void;
  /** A task of the sweeper has ended. */
  swept: (task: string, seconds: number, hasFailed: boolean) => void;
  /** An attempt to send a webhook has ended. */
  webhookSent: (outcome: WebhookOutcome) => void;
  /** The start of a machine has ended, `seconds` after it was asked for. */
  launched: (outcome: LaunchOutcome, seconds: number) => void;
  /** A command has begun, `seconds` after its machine was asked. */
  execStarted: (seconds: number) => void;
  /** Sandboxes ended because their machines are gone. */
  machinesLost: (reason: LossReason, count: number) => void;
};

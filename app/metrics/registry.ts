import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { eventKinds } from '../../db/events/kinds.ts';
import { boundsOf, countEventsBehind } from '../../db/events/log.ts';
import { countByStatus, countPendingDeliveries } from '../../db/sandboxes/counts.ts';
import type { Context, Metrics, WebhookOutcome } from '../context.ts';
import { RequestDurations } from '../internals/request-durations.ts';
import { versions } from '../version.ts';

/** From half a millisecond on: most requests take less than one. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Anybody may make up a method; each would be a series of its own. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const other = 'other';

type Sources = Pick<Context, 'store' | 'now' | 'log' | 'lostLogLines' | 'onReset'>;

export type Collected = Metrics & {
  contentType: string;
  /** Resolves to everything in Prometheus's text format, as it is now. */
  text: () => Promise<string>;
};

/** Returns what keeps the server's metrics. */
export function collectMetrics(context: Sources): Collected {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const refreshStore = storeMetrics(context, register);
  const own = { ...requestMetricsIn(register), ...sweeperMetricsIn(register), ...webhookMetricsIn(register) };
  logMetricsIn(context, register);
  buildInfoIn(register);
  return {
    ...own,
    contentType: register.contentType,
    text: async () => {
      await refreshStore();
      return register.metrics();
    },
  };
}

function requestMetricsIn(register: Registry): Pick<Metrics, 'requestBegan' | 'requestEnded'> {
  const name = 'sandpit_http_request_duration_seconds';
  const help = "Requests by the contract's path, until the answer is sent or the client gone.";
  const durations = new RequestDurations(name, help, buckets);
  register.registerMetric(durations.asMetric());
  let inFlight = 0;
  new Gauge({
    name: 'sandpit_http_requests_in_flight',
    help: 'Requests that are being answered.',
    registers: [register],
    collect() {
      this.set(inFlight);
    },
  });
  return {
    requestBegan: () => {
      inFlight++;
    },
    requestEnded: (method, route, status, taken) => {
      inFlight--;
      durations.observe(methods.has(method) ? method : other, route ?? other, status, taken);
    },
  };
}

function sweeperMetricsIn(register: Registry): Pick<Metrics, 'swept'> {
  const seconds = new Histogram({
    name: 'sandpit_sweeper_duration_seconds',
    help: 'Runs of the sweeper, by what it does.',
    labelNames: ['task'],
    buckets,
    registers: [register],
  });
  const failures = new Counter({
    name: 'sandpit_sweeper_failures_total',
    help: 'Runs of the sweeper that failed, and will be made up for by the next.',
    labelNames: ['task'],
    registers: [register],
  });
  return {
    swept: (task, taken, hasFailed) => {
      seconds.observe({ task }, taken);
      failures.inc({ task }, hasFailed ? 1 : 0);
    },
  };
}

function webhookMetricsIn(register: Registry): Pick<Metrics, 'webhookSent'> {
  const attempts = new Counter({
    name: 'sandpit_webhook_attempts_total',
    help: 'Attempts to send a webhook: succeeded, failed, to be sent again, or given_up, failed for good.',
    labelNames: ['outcome'],
    registers: [register],
  });
  const outcomes: WebhookOutcome[] = ['succeeded', 'failed', 'given_up'];
  for (const outcome of outcomes) attempts.inc({ outcome }, 0);
  return { webhookSent: (outcome) => attempts.inc({ outcome }) };
}

/** Returns a function that reads the store anew. Where that fails the figures are left out, and `sandpit_store_up` is 0. */
function storeMetrics(context: Sources, register: Registry): () => Promise<void> {
  const { store, now, log } = context;
  const countEvents = eventMetrics(context, register);
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `sandpit_${name}`, help, labelNames, registers: [register] });
  const up = gauge('store_up', 'Whether the store answers.');
  const sandboxes = gauge('sandboxes', "Sandboxes of all owners, by what they read as: expiry doesn't wait.", 'status');
  const pending = gauge(
    'webhooks_pending',
    'Webhooks of all owners that are still to be sent, the first time or again.',
  );
  const size = gauge('database_size_bytes', 'The database with its write-ahead log.');
  const wal = gauge(
    'database_wal_bytes',
    'The write-ahead log: it grows for as long as another process reads one state.',
  );
  const free = gauge('database_free_bytes', 'The part of the database that is empty.');
  const refresh = async () => {
    const byStatus = await countByStatus(store.db, now());
    for (const [status, count] of Object.entries(byStatus)) sandboxes.set({ status }, count);
    pending.set(await countPendingDeliveries(store.db));
    await countEvents();
    const sizes = store.sizes();
    size.set(sizes.total);
    wal.set(sizes.log);
    free.set(sizes.free);
    up.set(1);
  };
  return () =>
    refresh().catch((error) => {
      log.error({ err: error }, 'the store does not answer');
      sandboxes.reset();
      pending.remove();
      size.remove();
      wal.remove();
      free.remove();
      up.set(0);
    });
}

/** Returns a function that counts what the event log has got since the last time, whoever it came from. */
function eventMetrics({ store, onReset }: Pick<Context, 'store' | 'onReset'>, register: Registry): () => Promise<void> {
  const events = new Counter({
    name: 'sandpit_events_total',
    help: 'Events recorded since the start, by kind: vm.created, vm.killed, vm.expired and so on.',
    labelNames: ['kind'],
    registers: [register],
  });
  for (const kind of Object.keys(eventKinds)) events.inc({ kind }, 0);
  const start = boundsOf(store.db);
  // What is wrong with the store is told by who asks it next.
  start.catch(() => {});
  let place: number | null = null;
  onReset(() => {
    place = 0;
  });
  const countNew = async () => {
    const { counts, last } = await countEventsBehind(store.db, place ?? (await start).last);
    place = last;
    for (const [kind, count] of counts) events.inc({ kind }, count);
  };
  // One after another: two that ask at the same time are not to count the same events.
  let counted = Promise.resolve();
  return () => {
    counted = counted.catch(() => {}).then(countNew);
    return counted;
  };
}

function logMetricsIn({ lostLogLines }: Sources, register: Registry): void {
  new Counter({
    name: 'sandpit_log_lines_lost_total',
    help: 'Lines of the log that could not be written: the disk is full, say, or nobody reads.',
    registers: [register],
    collect() {
      this.reset();
      this.inc(lostLogLines());
    },
  });
}

function buildInfoIn(register: Registry): void {
  const labels = versions();
  const labelNames = Object.keys(labels);
  const info = { name: 'sandpit_build_info', help: 'The versions that run; always 1.', labelNames };
  new Gauge({ ...info, registers: [register] }).set(labels, 1);
}

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { changes, countChanges } from '../../db/changes.ts';
import { countByStatus } from '../../db/counts.ts';
import type { Metrics } from '../metrics.ts';
import type { Context } from '../server.ts';
import { versions } from '../version.ts';
import { RequestDurations } from './durations.ts';

/** From half a millisecond on: most requests take less than one. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Anybody may make up a method; each would be a series of its own. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const other = 'other';

export type Collected = Metrics & {
  contentType: string;
  /** Resolves to everything in Prometheus's text format, as it is now. */
  text: () => Promise<string>;
};

/** Returns what keeps the server's metrics. From now on the store counts its changes. */
export function collectMetrics(context: Context): Collected {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const refreshStore = storeMetrics(context, register);
  const own = { ...requestMetricsIn(register), ...sweeperMetricsIn(register) };
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

/** Returns a function that reads the store anew. Where that fails the figures are left out, and `sandpit_store_up` is 0. */
function storeMetrics({ store, now, log }: Context, register: Registry): () => Promise<void> {
  const changesSoFar = countChanges(store.sqlite);
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `sandpit_${name}`, help, labelNames, registers: [register] });
  const up = gauge('store_up', 'Whether the store answers.');
  const sandboxes = gauge('sandboxes', "Sandboxes of all owners, by what they read as: expiry doesn't wait.", 'status');
  const size = gauge('database_size_bytes', 'The database, without its write-ahead log.');
  const free = gauge('database_free_bytes', 'The part of the database that is empty.');
  const changed = new Counter({
    name: 'sandpit_sandbox_changes_total',
    help: `What became of sandboxes by this process: ${changes.join(', ')}. What expired is counted once it is swept.`,
    labelNames: ['change'],
    registers: [register],
  });
  const pragma = (name: string) => Number(store.sqlite.pragma(name, { simple: true }));
  const refresh = async () => {
    const byStatus = await countByStatus(store.db, now());
    for (const [status, count] of Object.entries(byStatus)) sandboxes.set({ status }, count);
    changed.reset();
    for (const [change, count] of Object.entries(changesSoFar())) changed.inc({ change }, count);
    size.set(pragma('page_count') * pragma('page_size'));
    free.set(pragma('freelist_count') * pragma('page_size'));
    up.set(1);
  };
  return () =>
    refresh().catch((error) => {
      log.error({ err: error }, 'the store does not answer');
      sandboxes.reset();
      size.remove();
      free.remove();
      up.set(0);
    });
}

function buildInfoIn(register: Registry): void {
  const labels = versions();
  const labelNames = Object.keys(labels);
  const info = { name: 'sandpit_build_info', help: 'The versions that run; always 1.', labelNames };
  new Gauge({ ...info, registers: [register] }).set(labels, 1);
}

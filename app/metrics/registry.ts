import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Context, Metrics } from '../context.ts';
import { versions } from '../version.ts';
import { eventMetrics } from './events.ts';
import { machineMetrics } from './machines.ts';
import { requestMetrics } from './requests.ts';
import { storeMetrics } from './store.ts';
import { sweeperMetrics } from './sweeper.ts';
import { webhookMetrics } from './webhooks.ts';

export type MetricsRegistry = Metrics & {
  contentType: string;
  /** Resolves to the current values of all metrics in Prometheus's text format. */
  text: () => Promise<string>;
};

type Sources = Pick<Context, 'store' | 'now' | 'log' | 'lostLogLines' | 'onReset'>;

/** Returns the registry of all metrics. Those of the store are read when `text` is called. */
export function collectMetrics(context: Sources): MetricsRegistry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const countEvents = eventMetrics(context, register);
  const refreshStore = storeMetrics(context, register, countEvents);
  const own = {
    ...requestMetrics(register),
    ...sweeperMetrics(register),
    ...webhookMetrics(register),
    ...machineMetrics(register),
  };
  addLostLogLines(context, register);
  addBuildInfo(register);
  return {
    ...own,
    contentType: register.contentType,
    text: async () => {
      await refreshStore();
      return register.metrics();
    },
  };
}

function addLostLogLines({ lostLogLines }: Sources, register: Registry): void {
  new Counter({
    name: 'sandpit_log_lines_lost_total',
    help: 'Log lines that could not be written, for example because the disk is full.',
    registers: [register],
    collect() {
      this.reset();
      this.inc(lostLogLines());
    },
  });
}

function addBuildInfo(register: Registry): void {
  const labels = versions();
  const labelNames = Object.keys(labels);
  const info = { name: 'sandpit_build_info', help: 'The running versions; always 1.', labelNames };
  new Gauge({ ...info, registers: [register] }).set(labels, 1);
}

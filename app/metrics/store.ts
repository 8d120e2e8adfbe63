import { Gauge, type Registry } from 'prom-client';
import { countMachines } from '../../db/machines/rows.ts';
import { countByStatus, countPendingDeliveries } from '../../db/sandboxes/lists/counts.ts';
import type { Context } from '../context.ts';

/**
 * Adds the metrics of the store to a registry. Returns a function that reads them from the store,
 * `countEvents` included. If that fails, the values are left out and `sandpit_store_up` is 0.
 */
export function storeMetrics(
  { store, now, log }: Pick<Context, 'store' | 'now' | 'log'>,
  register: Registry,
  countEvents: () => Promise<void>,
): () => Promise<void> {
  const gauges = storeGauges(register);
  const read = async () => {
    const byStatus = await countByStatus(store.db, now());
    for (const [status, count] of Object.entries(byStatus)) gauges.sandboxes.set({ status }, count);
    const machines = await countMachines(store.db);
    for (const [state, count] of Object.entries(machines)) gauges.machines.set({ state }, count);
    gauges.pending.set(await countPendingDeliveries(store.db));
    await countEvents();
    const { total, log: wal, free } = store.sizes();
    gauges.size.set(total);
    gauges.wal.set(wal);
    gauges.free.set(free);
  };
  const clear = () => {
    for (const gauge of [gauges.sandboxes, gauges.machines]) gauge.reset();
    for (const gauge of [gauges.pending, gauges.size, gauges.wal, gauges.free]) gauge.remove();
  };
  return async () => {
    try {
      await read();
      gauges.up.set(1);
    } catch (error) {
      log.error({ err: error }, 'the store does not answer');
      clear();
      gauges.up.set(0);
    }
  };
}

function storeGauges(register: Registry) {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `sandpit_${name}`, help, labelNames, registers: [register] });
  return {
    up: gauge('store_up', 'Whether the store answers.'),
    sandboxes: gauge('sandboxes', 'Sandboxes of all owners, by the status that the API reports.', 'status'),
    machines: gauge(
      'machines',
      'Machines of all owners: starting, running, paused (frozen, with their memory) or stopped (only their files).',
      'state',
    ),
    pending: gauge('webhooks_pending', 'Webhook deliveries of all owners that wait to be sent or retried.'),
    size: gauge('database_size_bytes', 'The database, including its write-ahead log.'),
    wal: gauge('database_wal_bytes', 'The write-ahead log. It grows while another process reads an old snapshot.'),
    free: gauge('database_free_bytes', 'Unused space inside the database file.'),
  };
}

import { Counter, type Registry } from 'prom-client';
import { eventKinds } from '../../db/events/kinds.ts';
import { boundsOf, countEventsAfter } from '../../db/events/log.ts';
import type { Context } from '../context.ts';

/**
 * Adds the counter of recorded events to a registry. Returns a function that adds the events that
 * were recorded since its last call, those of other processes included.
 */
export function eventMetrics(
  { store, onReset }: Pick<Context, 'store' | 'onReset'>,
  register: Registry,
): () => Promise<void> {
  const events = new Counter({
    name: 'sandpit_events_total',
    help: 'Events recorded since the start, by kind, for example vm.created, vm.killed or vm.expired.',
    labelNames: ['kind'],
    registers: [register],
  });
  for (const kind of Object.keys(eventKinds)) events.inc({ kind }, 0);
  const start = boundsOf(store.db);
  // A failure is reported by the first call, which awaits `start`.
  start.catch(() => {});
  /** The sequence number of the last counted event. */
  let counted: number | null = null;
  onReset(() => {
    counted = 0;
  });
  const countNew = async () => {
    const { counts, last } = await countEventsAfter(store.db, counted ?? (await start).last);
    counted = last;
    for (const [kind, count] of counts) events.inc({ kind }, count);
  };
  // Calls run one after another, so that concurrent scrapes do not count an event twice.
  let previous = Promise.resolve();
  return () => {
    previous = previous.catch(() => {}).then(countNew);
    return previous;
  };
}

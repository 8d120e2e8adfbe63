import { randomDigits } from '../../../db/random.ts';
import type { Driver, TakenSnapshot } from '../driver.ts';
import { timed, type VerbMetrics } from '../lifecycle/timed.ts';
import { untilAborted } from '../until-aborted.ts';
import type { Collector } from './collector.ts';

type Parts = { driver: Driver; collector: Collector; metrics: VerbMetrics | null };

/** Makes the driver take a snapshot of a machine. What it takes too late is removed. */
export async function askForSnapshot(
  { driver, collector, metrics }: Parts,
  id: string,
  within: AbortSignal,
): Promise<TakenSnapshot> {
  const asked = timed(metrics, 'snapshot', () => driver.snapshot(id, `s${randomDigits()}`, within));
  return untilAborted(asked, within).catch((error) => {
    asked.then(
      ({ ref }) => collector.discard(ref),
      () => {},
    );
    throw error;
  });
}

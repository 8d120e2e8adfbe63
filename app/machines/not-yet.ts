import type { Driver } from './driver.ts';
import { MachineError } from './error.ts';

async function refuse(): Promise<never> {
  throw new MachineError('unsupported', 'This driver can not do that.');
}

/** What a driver without these features does. */
export const notYet: Pick<Driver, 'pause' | 'stop' | 'resume' | 'snapshot' | 'fork' | 'snapshots' | 'removeSnapshot'> =
  {
    pause: refuse,
    stop: refuse,
    resume: refuse,
    snapshot: refuse,
    fork: refuse,
    snapshots: async () => [],
    removeSnapshot: async () => {},
  };

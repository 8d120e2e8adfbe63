import type { Logger } from 'pino';
import { deleteMachine } from '../../../db/machines/rows.ts';
import type { Store } from '../../../db/store.ts';
import type { Driver } from '../driver.ts';
import { Repeated } from './repeated.ts';

type Dependencies = {
  store: Store;
  driver: Driver;
  log: Logger;
  /** Called before a machine is removed. If it rejects, the machine stays for the next try. */
  beforeRemoval?: (id: string) => Promise<void>;
  /** Called after a machine was removed. */
  onRemoved?: () => void;
};

/**
 * Removes machines in the background, and their rows after them. It tries again until it succeeds:
 * a machine that outlives its sandbox costs memory.
 */
export class Removals extends Repeated {
  constructor({ store, driver, log, beforeRemoval, onRemoved }: Dependencies) {
    const work = async (id: string) => {
      await beforeRemoval?.(id);
      await driver.remove(id);
      onRemoved?.();
      if (!this.isStopped) await deleteMachine(store.db, id);
    };
    super({ work, failure: 'a machine could not be removed: trying again', log });
  }
}

import type { Logger } from 'pino';
import { deleteMachine } from '../../../db/machines/rows.ts';
import type { Store } from '../../../db/store.ts';
import type { Driver } from '../driver.ts';
import { Repeated } from './repeated.ts';

type Dependencies = {
  store: Store;
  driver: Driver;
  log: Logger;
  /**
   * Returns whether something else has to be done with a machine first. Then it is begun, and adds
   * the machine again when it has ended.
   */
  isKept?: (id: string) => Promise<boolean>;
  /** Called after a machine was removed. */
  onRemoved?: () => void;
};

/**
 * Removes machines in the background, and their rows after them. It tries again until it succeeds:
 * a machine that outlives its sandbox costs memory.
 */
export class Removals extends Repeated {
  constructor({ store, driver, log, isKept, onRemoved }: Dependencies) {
    const work = async (id: string) => {
      if (await isKept?.(id)) return;
      await driver.remove(id);
      onRemoved?.();
      if (!this.isStopped) await deleteMachine(store.db, id);
    };
    super({ work, failure: 'a machine could not be removed: trying again', log });
  }
}

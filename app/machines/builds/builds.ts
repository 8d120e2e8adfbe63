import { failBuild } from '../../../db/builds/finish.ts';
import type { Actor } from '../../../db/events/record.ts';
import { inTransaction, type Store } from '../../../db/store.ts';

type Dependencies = { store: Store; now: () => number };

/** Builds templates from code. */
export class Builds {
  readonly #dependencies: Dependencies;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  start(buildId: string, _by: Actor): void {
    const { store, now } = this.#dependencies;
    const failure = { reason: 'Sandpit does not build templates yet', step: null };
    void inTransaction(store.db, (trx) => failBuild(trx, now(), buildId, failure));
  }

  cancel(_buildId: string): void {}
}

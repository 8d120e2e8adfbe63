import { inTransaction, type Store, type Trx } from '../../../db/store.ts';

/** Makes a change and takes it back. Throws what `change` throws, so that nothing is begun in vain. */
export async function rehearse({ db }: Pick<Store, 'db'>, change: (trx: Trx) => Promise<unknown>): Promise<void> {
  const rehearsed = new Error('rolled back');
  const work = async (trx: Trx) => {
    await change(trx);
    throw rehearsed;
  };
  await inTransaction(db, work).catch((error) => {
    if (error !== rehearsed) throw error;
  });
}

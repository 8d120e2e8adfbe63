import { inTransaction, type Store, type Trx } from '../../../db/store.ts';

/**
 * Makes a change, takes it back, and returns what `change` returned. Throws what `change` throws,
 * so that nothing is begun in vain.
 */
export async function rehearse<T>({ db }: Pick<Store, 'db'>, change: (trx: Trx) => Promise<T>): Promise<T> {
  const rehearsed = new Error('rolled back');
  let result: T | undefined;
  const work = async (trx: Trx) => {
    result = await change(trx);
    throw rehearsed;
  };
  await inTransaction(db, work).catch((error) => {
    if (error !== rehearsed) throw error;
  });
  return result as T;
}

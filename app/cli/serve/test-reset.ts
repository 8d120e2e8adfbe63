import { deleteBelongings, type User } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { repeatRandomness } from '../../../db/random.ts';
import { emptyStore } from '../../../db/sqlite/empty.ts';
import { inTransaction } from '../../../db/store.ts';
import { findOrCreateUser } from '../../api/test-mode/users.ts';
import type { Context } from '../../context.ts';
import { importLines, SandboxImporter } from '../../import/import.ts';
import { linesOf } from '../../import/json-lines.ts';
import { addAdmin } from './first-user.ts';

/** What a test server starts with, and returns to when it is reset. */
export type Initial = {
  /** JSON lines, the content of the file `seed` */
  records: Buffer;
  seed: string | undefined;
  randomSeed: number | undefined;
  apiKey: string | undefined;
};

/**
 * Empties the store and loads the initial data, in one transaction. Returns the first user's API
 * key.
 */
export async function resetAll(
  { store, now, keyUse }: Context,
  { records, seed, randomSeed, apiKey }: Initial,
  stop: AbortSignal,
): Promise<string> {
  if (randomSeed !== undefined) repeatRandomness(randomSeed);
  keyUse.clear();
  return inTransaction(store.db, async (trx) => {
    await emptyStore(trx);
    const { key } = await addAdmin(trx, now(), apiKey);
    const importer = new SandboxImporter(trx, now, cli, (name) => findOrCreateUser(trx, now(), cli, name));
    await importLines(importer, [records], { stop }).catch((error) => {
      throw new Error(`--seed ${seed}: ${error.message}`, { cause: error });
    });
    return key;
  });
}

/**
 * Deletes what a user has and loads the user's part of the initial sandboxes, in one transaction.
 */
export async function resetUser(
  { store, now }: Context,
  { records }: Initial,
  user: User,
  stop: AbortSignal,
): Promise<void> {
  await inTransaction(store.db, async (trx) => {
    await deleteBelongings(trx, user.id);
    const importer = new SandboxImporter(trx, now, cli, async () => user);
    const own: Buffer[] = [];
    for await (const { text } of linesOf([records])) {
      if (JSON.parse(text).owner === user.name) own.push(Buffer.from(`${text}\n`));
    }
    await importLines(importer, own, { stop });
  });
}

import type { RequestHandler } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { inTransaction } from '../../../db/store.ts';
import type { components } from '../../../spec/types.gen.ts';
import { originOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';
import { RecordImporter, type SandboxRecord } from '../../import/import.ts';
import { findOrCreateUser } from './users.ts';

type Schemas = components['schemas'];

/** Imports sandboxes and creates the owners that do not exist yet, all in one transaction. */
export function seed({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const records: SandboxRecord[] = req.body;
    const keys: Record<string, string> = {};
    const by = originOf(req);
    const imported = await inTransaction(store.db, async (trx) => {
      const findOwner = (name: string) => findOrCreateUser(trx, now(), by, name, keys);
      const importer = new RecordImporter(trx, now, by, findOwner);
      for (const [index, record] of records.entries()) await addRecord(importer, record, index);
      await importer.finish();
      return importer.count;
    });
    res.json({ imported, api_keys: keys } satisfies Schemas['TestSeeded']);
  };
}

/** Throws ValidationFailure for an invalid record, StoreError `conflict` for an id that exists. */
async function addRecord(importer: RecordImporter, record: SandboxRecord, index: number): Promise<void> {
  try {
    await importer.add(record);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'conflict') throw error;
    const { message } = error as Error;
    throw new ValidationFailure([{ ...valueError(['body', index], message, null), ctx: { error: message } }]);
  }
}

import type { RequestHandler } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { isObject } from '../../../db/json/json.ts';
import { inTransaction } from '../../../db/store.ts';
import type { components } from '../../../spec/types.gen.ts';
import { originOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';
import { SandboxImporter } from '../../import/import.ts';
import type { SandboxRecord } from '../../import/record.ts';
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
      const importer = new SandboxImporter(trx, now, by, findOwner);
      for (const [index, record] of records.entries()) await addRecord(importer, record, index);
      await importer.finish();
      return importer.count;
    });
    res.json({ imported, api_keys: keys } satisfies Schemas['TestSeeded']);
  };
}

/** Throws ValidationFailure for an invalid record, StoreError `conflict` for an id that exists. */
async function addRecord(importer: SandboxImporter, record: SandboxRecord, index: number): Promise<void> {
  try {
    requireObjects(record);
    await importer.add(record);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'conflict') throw error;
    const { message } = error as Error;
    throw new ValidationFailure([{ ...valueError(['body', index], message, null), ctx: { error: message } }]);
  }
}

/**
 * A number too large for JavaScript is parsed into an object that holds its text, and the schema
 * checker takes that for a JSON object.
 */
function requireObjects(record: SandboxRecord): void {
  for (const name of ['metadata', 'env', 'settings'] as const) {
    if (record[name] && !isObject(record[name])) throw new Error(`${name} must be object`);
  }
}

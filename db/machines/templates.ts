import type { Selectable } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Db, Trx } from '../store.ts';
import { type Setup, setupColumn, setupOf } from './setup.ts';
import type { MachineTemplatesTable } from './tables.ts';

/** An image under a name. Administrators choose them, and every user may start from them. */
export type MachineTemplate = {
  /** in E2B's stored form: lower case, no namespace, no tag `default` */
  name: string;
  image: string;
  allowsSudo: boolean;
  /** the container runtime; null: the engine's default */
  runtime: string | null;
  /** the commands that machines start with; null: none */
  setup: Setup | null;
};

export type StoredTemplate = MachineTemplate & { createdAt: number };

/**
 * Stores a template. With `mayReplace`, it replaces the one of this name, and sandboxes that run
 * from that go on. Throws StoreError `conflict` when the name is taken.
 */
export async function putTemplate(
  trx: Trx,
  now: number,
  { name, image, allowsSudo, runtime, setup }: MachineTemplate,
  { mayReplace }: { mayReplace: boolean },
): Promise<void> {
  const rights = { allows_sudo: allowsSudo ? (1 as const) : (0 as const), runtime };
  const columns = { image, ...rights, setup: setupColumn(setup), created_at: now };
  if (!mayReplace && (await findTemplate(trx, name))) {
    throw new StoreError('conflict', `there is a template '${name}' already`);
  }
  await trx
    .insertInto('machine_templates')
    .values({ name, ...columns })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(columns))
    .execute();
}

export async function findTemplate(db: Db, name: string): Promise<StoredTemplate | null> {
  const row = await db.selectFrom('machine_templates').selectAll().where('name', '=', name).executeTakeFirst();
  return row ? templateOf(row) : null;
}

/** Returns all templates by name. */
export async function listTemplates(db: Db): Promise<StoredTemplate[]> {
  return (await db.selectFrom('machine_templates').selectAll().orderBy('name').execute()).map(templateOf);
}

/** Throws StoreError `not_found`. */
export async function removeTemplate(trx: Trx, name: string): Promise<void> {
  const { numDeletedRows } = await trx.deleteFrom('machine_templates').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StoreError('not_found', `there is no template '${name}'`);
}

function templateOf({ name, image, runtime, ...row }: Selectable<MachineTemplatesTable>): StoredTemplate {
  return {
    name,
    image,
    allowsSudo: row.allows_sudo === 1,
    runtime,
    setup: setupOf(row.setup),
    createdAt: row.created_at,
  };
}

import { type Setup, setupColumn, setupOf } from '../machines/setup.ts';
import type { MachineSnapshot } from '../machines/snapshots.ts';
import { addMachineSnapshot } from '../machines/snapshots.ts';
import type { Db, Trx } from '../store.ts';

/** What a driver holds of a machine after a step, with what the steps so far have laid down. */
export type Layer = { ref: string; driver: string; setup: Setup };

/** How many layers an owner may have: each takes disk. */
export const maxLayers = 100;

/**
 * Returns the owner's layer with this key, which counts as used by the template from now on; or
 * null. The driver may have lost what it holds.
 */
export async function useLayer(
  trx: Trx,
  now: number,
  ownerId: number,
  { key, templateId }: { key: string; templateId: string },
): Promise<Layer | null> {
  const used = await trx
    .updateTable('template_layers')
    .set({ used_at: now, template_id: templateId })
    .where('owner_id', '=', ownerId)
    .where('key', '=', key)
    .returning(['ref', 'setup'])
    .executeTakeFirst();
  if (!used) return null;
  const held = trx.selectFrom('machine_snapshots').select('driver').where('ref', '=', used.ref);
  const { driver } = await held.executeTakeFirstOrThrow();
  return { ref: used.ref, driver, setup: setupOf(used.setup) as Setup };
}

/**
 * Records a layer, in the place of an earlier one with this key. The owner's layers that were not
 * used for the longest give way: `Collector` removes what the driver holds of them.
 */
export async function putLayer(
  trx: Trx,
  now: number,
  ownerId: number,
  layer: { key: string; templateId: string; held: MachineSnapshot; setup: Setup },
): Promise<void> {
  await addMachineSnapshot(trx, now, layer.held);
  const columns = { ref: layer.held.ref, setup: setupColumn(layer.setup) as string };
  const values = { ...columns, template_id: layer.templateId, used_at: now };
  await trx
    .insertInto('template_layers')
    .values({ owner_id: ownerId, key: layer.key, ...values })
    .onConflict((conflict) => conflict.columns(['owner_id', 'key']).doUpdateSet(values))
    .execute();
  const own = trx.selectFrom('template_layers').select('key').where('owner_id', '=', ownerId);
  const old = own.orderBy('used_at', 'desc').limit(-1).offset(maxLayers);
  await trx.deleteFrom('template_layers').where('owner_id', '=', ownerId).where('key', 'in', old).execute();
}

/** Forgets a layer that the driver has lost. */
export async function forgetLayer(db: Db, ownerId: number, key: string): Promise<void> {
  await db.deleteFrom('template_layers').where('owner_id', '=', ownerId).where('key', '=', key).execute();
}

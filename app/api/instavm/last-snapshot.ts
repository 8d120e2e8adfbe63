import type { JsonObject } from '../../../db/json/json.ts';
import type { components } from '../../../spec/types.gen.ts';
import type { Machines } from '../../context.ts';
import { HttpError } from '../../errors.ts';

type Wanted = Pick<NonNullable<components['schemas']['CreateVM']>, 'snapshot_on_terminate' | 'snapshot_name'>;

/**
 * Returns the change of a sandbox's settings that asks for a snapshot at its end, or for none;
 * null: the request says nothing of it. Throws HttpError 501 where none can be taken. The change
 * throws HttpError 403 for a name without a snapshot.
 */
export function lastSnapshotChange(
  { snapshot_on_terminate: isTaken, snapshot_name: name }: Wanted,
  machines: Pick<Machines, 'driver'> | null,
): ((settings: JsonObject) => JsonObject) | null {
  if (isTaken == null && name == null) return null;
  if (!machines?.driver.features.has('snapshot') && (isTaken || name != null)) throw new HttpError(501, noMachines);
  return ({ snapshotAtEnd: old, ...settings }) => {
    if (!(isTaken ?? old !== undefined)) {
      if (name != null) throw new HttpError(403, nameOnly);
      return settings;
    }
    const snapshotAtEnd = { name: name ?? (old as JsonObject | undefined)?.name ?? null };
    return { ...settings, snapshotAtEnd };
  };
}

const noMachines =
  'snapshot_on_terminate is not offered: Sandpit runs no machines here of which a snapshot can be taken; leave it and snapshot_name out';
const nameOnly =
  'snapshot_name names the snapshot that is taken when the sandbox ends: set snapshot_on_terminate as well';

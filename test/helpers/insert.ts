import { type NewSandbox, SandboxInserter } from '../../db/sandboxes/insert.ts';
import type { Trx } from '../../db/store.ts';

/** Inserts one sandbox as it is, whatever its state. Throws as `SandboxInserter.add` does. */
export async function insertSandbox(trx: Trx, sandbox: NewSandbox): Promise<void> {
  const inserter = new SandboxInserter(trx);
  await inserter.add(sandbox);
  await inserter.flush();
}

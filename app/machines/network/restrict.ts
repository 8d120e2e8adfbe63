import { findMachineRow } from '../../../db/machines/rows.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { rehearse } from '../launch/rehearse.ts';
import { changeMachine, engineCall, type LifecycleParts } from '../lifecycle/parts.ts';
import { enforce, isByAgent } from './enforce.ts';
import type { EgressRules } from './rules.ts';
import { egressOf } from './settings.ts';

/**
 * Changes what a machine may reach to what `record` writes into its sandbox's settings, and records
 * it. A paused machine gets the rules when it is resumed. Throws what `record` throws, and
 * MachineError: then the rules are those of before.
 */
export async function restrictMachine(
  parts: LifecycleParts,
  id: string,
  record: (trx: Trx) => Promise<Sandbox>,
): Promise<Sandbox> {
  const { store, now, connections } = parts;
  const check = () => rehearse(store, record);
  return changeMachine(parts, id, check, async ({ settings }) => {
    const rules = egressOf(JSON.parse(settings ?? '{}'));
    const machine = await findMachineRow(store.db, now(), id);
    // A connection that opens meanwhile must not bring back the rules of the record.
    return connections.during(id, rules, async () => {
      if (machine) await change(parts, id, rules, machine.status === 'active');
      return inTransaction(store.db, record);
    });
  });
}

async function change(parts: LifecycleParts, id: string, rules: EgressRules, isRunning: boolean): Promise<void> {
  const { driver, patienceMilliseconds } = parts;
  const late = AbortSignal.timeout(patienceMilliseconds);
  if (driver.restrict) await engineCall(driver.restrict(id, rules), late);
  else if (isRunning) await enforceWithin(parts, id, rules, late);
}

/**
 * Makes the agent of a machine that runs enforce the rules of its record, for drivers that leave
 * that to agents. Throws MachineError.
 */
export async function enforceRecord(parts: LifecycleParts, id: string, settings: string | null): Promise<void> {
  if (!isByAgent(parts.driver)) return;
  const late = AbortSignal.timeout(parts.patienceMilliseconds);
  await enforceWithin(parts, id, egressOf(JSON.parse(settings ?? '{}')), late);
}

async function enforceWithin(
  { connections }: LifecycleParts,
  id: string,
  rules: EgressRules,
  late: AbortSignal,
): Promise<void> {
  await engineCall(
    connections.connect(id, late).then((agent) => enforce(agent, rules, late)),
    late,
  );
}

import { type HeldMachine, heldMachines } from '../../../db/machines/held.ts';
import { readInUse } from '../../../db/machines/in-use.ts';
import { readInstance } from '../../../db/machines/instance.ts';
import type { Store } from '../../../db/store.ts';
import type { Config } from '../../config/settings.ts';
import { createLog } from '../../log/log.ts';
import type { Driver, MachineState } from '../../machines/driver.ts';
import { openDriver } from '../../machines/open.ts';
import { untilAborted } from '../../machines/until-aborted.ts';
import { printable } from '../../terminal/printable.ts';
import type { Terminal } from '../../terminal/terminal.ts';

/** How long a driver may take to say what it has. */
const answerMilliseconds = 5000;

const names = ['docker', 'microvm', 'process'] as const;

/** A machine that the database or its driver knows. `record` is null if only the driver does. */
export type Seen = {
  id: string;
  driver: string;
  /**
   * `starting`: not made yet. `missing`: not made any more. `unknown`: the driver does not answer.
   */
  state: MachineState | 'starting' | 'missing' | 'unknown';
  record: HeldMachine | null;
};

/** What the database and its drivers have. `silent` counts the drivers that do not answer. */
export type Survey = { machines: Seen[]; drivers: Driver[]; silent: number };

/**
 * Asks the drivers whose machines or snapshots the database has, and the one that `--machines`
 * names, then calls `work`. Says which of them do not answer. A server may run meanwhile.
 */
export async function withSurvey<T>(
  { db }: Pick<Store, 'db'>,
  config: Config,
  { now, stderr }: Pick<Terminal, 'now' | 'stderr'>,
  work: (survey: Survey) => Promise<T>,
): Promise<T> {
  const { id: instance } = await readInstance(db);
  const inUse = (await readInUse(db, now())).drivers.map(({ driver }) => driver);
  const options = { instance, log: createLog('silent', stderr), isGuest: true };
  const known = names.filter((name) => inUse.includes(name) || config.machines === name);
  const drivers = await Promise.all(known.map((name) => openDriver(name, config, options)));
  try {
    const listed = new Map<string, Map<string, MachineState>>();
    const ask = async (driver: Driver) => {
      const found = await answer(driver.list());
      listed.set(driver.name, new Map(found.map(({ id, state }) => [id, state])));
    };
    for (const [n, asked] of (await Promise.allSettled(drivers.map(ask))).entries())
      if (asked.status === 'rejected')
        stderr.write(`sandpit: ${drivers[n]?.name}: ${printable((asked.reason as Error).message)}\n`);
    // After the drivers were asked: a row is written before its machine is made.
    const machines = merge(await heldMachines(db, now()), listed);
    const answering = drivers.filter(({ name }) => listed.has(name));
    return await work({ machines, drivers: answering, silent: drivers.length - answering.length });
  } finally {
    for (const driver of drivers) await driver.close();
  }
}

/** Returns a driver's answer. Rejects when it takes too long. */
export async function answer<T>(asked: Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(answerMilliseconds);
  return untilAborted(asked, late).catch((error) => {
    throw late.aborted ? new Error(`no answer within ${answerMilliseconds / 1000} seconds`) : error;
  });
}

function merge(records: HeldMachine[], listed: Map<string, Map<string, MachineState>>): Seen[] {
  const known = new Set(records.map(({ id }) => id));
  const recorded = records.map((record): Seen => {
    const { id, driver, isReady } = record;
    const found = listed.get(driver);
    const state = found === undefined ? 'unknown' : (found.get(id) ?? (isReady ? 'missing' : 'starting'));
    return { id, driver, state, record };
  });
  const orphans = [...listed].flatMap(([driver, found]) =>
    [...found].filter(([id]) => !known.has(id)).map(([id, state]): Seen => ({ id, driver, state, record: null })),
  );
  return [...recorded, ...orphans];
}

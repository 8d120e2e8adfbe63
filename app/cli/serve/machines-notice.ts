import { existsSync } from 'node:fs';
import { readInstance } from '../../../db/machines/instance.ts';
import { listMachines } from '../../../db/machines/rows.ts';
import { readEngineEnvironment } from '../../config/engine-environment.ts';
import type { Context, Machines } from '../../context.ts';
import { engineAddresses } from '../../machines/docker/engine/address.ts';
import type { Driver, EngineInfo } from '../../machines/driver.ts';
import { openDriver } from '../../machines/open.ts';
import type { SandpitServer } from '../../server.ts';

/** How long to look for an engine before the text goes without it. */
const patienceMilliseconds = 1000;

/**
 * Returns the part of the start-up text about machines: the engine in use, or, with records only,
 * how to use one that was found. Takes two seconds at most.
 */
export async function machinesNotice({ context }: SandpitServer): Promise<string> {
  const { config, machines } = context;
  if (config.machines === 'process') return processWarning;
  if (machines) return containersNotice(machines);
  const engine = await findEngine(context);
  return `${await leftWarning(context)}${engine instanceof Error ? '' : offer(engine)}`;
}

const processWarning =
  'Warning: --machines process runs the commands of sandboxes on this machine, without isolation. Use it for tests only.\n';

async function containersNotice({ driver, images }: Machines): Promise<string> {
  const engine = await probe(driver);
  if (engine instanceof Error) return awayWarning(engine);
  const missing = await inTime(images.planned(), []);
  const pulls = missing.length === 0 ? '' : `Pulling ${missing.join(', ')}: until then no sandbox can start from it.\n`;
  return `Machines: containers of ${nameOf(engine)}\n${pulls}`;
}

function awayWarning({ message }: Error): string {
  return `Warning: sandboxes cannot be started: ${message}. Find out why with sandpit doctor --machines.\n`;
}

function offer(engine: EngineInfo): string {
  return `Sandboxes are records only. ${nameOf(engine)} was found: sandpit serve --machines docker runs them in containers.\n`;
}

/** Warns of machines that an earlier server has left: this one neither uses nor removes them. */
async function leftWarning({ store, now }: Context): Promise<string> {
  const { length } = await listMachines(store.db, now());
  if (length === 0) return '';
  const those = length === 1 ? '1 machine of an earlier start is' : `${length} machines of an earlier start are`;
  return `Warning: ${those} left alone, because this server keeps records only.\n`;
}

function nameOf({ name, version, address }: EngineInfo): string {
  return `${name} ${version} at ${address}`;
}

async function findEngine({ config, store, log }: Context): Promise<EngineInfo | Error> {
  // Before the driver is loaded, which takes memory that a server without an engine does not need.
  if (!mayHaveEngine(config.engine)) return new Error('there is no engine');
  const { id: instance } = await readInstance(store.db);
  const driver = await openDriver('docker', config, { instance, log });
  try {
    return await probe(driver);
  } finally {
    // Not awaited: an engine that hangs must not delay the start.
    driver.close().catch(() => {});
  }
}

function mayHaveEngine(setting: string | undefined): boolean {
  return engineAddresses(setting, readEngineEnvironment()).some(
    (address) => !address.startsWith('unix://') || existsSync(address.slice('unix://'.length)),
  );
}

async function probe(driver: Driver): Promise<EngineInfo | Error> {
  const asked = driver.probe().catch((error: Error) => error);
  return inTime<EngineInfo | Error>(asked, new Error('the container engine does not answer'));
}

/** Returns the value of a promise, or `otherwise` when it takes too long. */
async function inTime<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  const { promise: late, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(otherwise), patienceMilliseconds);
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

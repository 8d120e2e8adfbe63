import { existsSync } from 'node:fs';
import { type EngineEnvironment, readEngineEnvironment, readEnvironment } from '../../config/engine-environment.ts';
import type { Config } from '../../config/settings.ts';
import { engineAddresses } from '../docker/engine/address.ts';
import type { DriverOptions } from '../driver.ts';
import { Places } from '../microvm/places.ts';
import { trialFile } from '../microvm/remembered.ts';
import { whyNot } from '../microvm/why-not.ts';
import { openDriver } from '../open.ts';
import type { Candidate } from './choose.ts';

/** How long a container engine may take to answer. */
const engineMilliseconds = 1000;

type Settings = Pick<Config, 'engine' | 'msb' | 'db' | 'networkRules'>;
type Options = Pick<DriverOptions, 'instance' | 'log'>;

/** Returns the drivers that may be chosen without a setting, the best first. */
export function candidates(config: Settings, options: Options): Candidate[] {
  return [
    { driver: 'microvm', whyNot: () => whyNot(config.msb, readEnvironment(), { memory: memoryOf(config, options) }) },
    { driver: 'docker', whyNot: () => whyNoContainers(config, options) },
  ];
}

/** Returns the file that remembers whether microVMs run here; a database in memory has none. */
function memoryOf({ db }: Settings, { instance }: Options): string | undefined {
  return db === ':memory:' ? undefined : trialFile(new Places(instance, db).directory);
}

async function whyNoContainers(config: Settings, options: Options): Promise<string | null> {
  const environment = readEngineEnvironment();
  // Before the driver is loaded, which takes time that a server without an engine does not need.
  if (!mayHaveEngine(config.engine, environment))
    return `no container engine at ${engineAddresses(config.engine, environment).join(', ')}`;
  const driver = await openDriver('docker', config, options);
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve('the container engine does not answer'), engineMilliseconds);
  try {
    const answer = driver.probe().then(
      () => null,
      (error: Error) => error.message,
    );
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
    // Not awaited: an engine that hangs must not delay the start.
    driver.close().catch(() => {});
  }
}

function mayHaveEngine(setting: string | undefined, environment: EngineEnvironment): boolean {
  return engineAddresses(setting, environment).some(
    (address) => !address.startsWith('unix://') || existsSync(address.slice('unix://'.length)),
  );
}

import type { Config } from '../config/settings.ts';
import type { Driver, DriverOptions } from './driver.ts';

/** Returns a driver. Its module is loaded only then, because that takes time. */
export async function openDriver(
  name: Driver['name'],
  { engine, msb, db, networkRules }: Pick<Config, 'engine' | 'msb' | 'db'> & Partial<Pick<Config, 'networkRules'>>,
  { instance, log, isGuest = false }: Pick<DriverOptions, 'instance' | 'log' | 'isGuest'>,
): Promise<Driver> {
  const options = { instance, engine, msb, db, log, isGuest, networkRules: networkRules !== 'off' };
  switch (name) {
    case 'docker':
      return (await import('./docker/driver.ts')).createDockerDriver(options);
    case 'microvm':
      return (await import('./microvm/driver.ts')).createMicrovmDriver(options);
    case 'process':
      return (await import('./process/driver.ts')).createProcessDriver(options);
  }
}

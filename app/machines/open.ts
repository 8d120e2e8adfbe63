import type { Config } from '../config/settings.ts';
import type { Driver, DriverOptions } from './driver.ts';

/**
 * Returns the driver that the settings choose. Its module is loaded only then, because that takes
 * time. Throws an Error without machines.
 */
export async function openDriver({ machines }: Pick<Config, 'machines'>, options: DriverOptions): Promise<Driver> {
  switch (machines) {
    case 'none':
      throw new Error('there is no driver for records only');
    case 'docker':
      return (await import('./docker/driver.ts')).createDockerDriver(options);
    case 'process':
      return (await import('./process/driver.ts')).createProcessDriver(options);
  }
}

import { join } from 'node:path';
import pino from 'pino';
import type { Driver } from '../../../app/machines/driver.ts';
import type { MachineError } from '../../../app/machines/error.ts';
import { createMicrovmDriver } from '../../../app/machines/microvm/driver.ts';
import type { FakeMsb } from './fake-msb.ts';

export const instance = '0123456789abcdef';

/** Returns msb's name of a machine. */
export const named = (id: string): string => `sandpit-${instance}-${id}`;

/** Returns a signal that ends a call which takes far too long. */
export const soon = (): AbortSignal => AbortSignal.timeout(20_000);

/** Returns the folder of the machines of a driver with its database in a directory. */
export const folderIn = (directory: string): string => join(directory, `microvms-${instance}`);

export function openDriver(directory: string, msb: FakeMsb, { isGuest = false } = {}): Driver {
  return createMicrovmDriver(
    { instance, engine: undefined, msb: msb.path, db: join(directory, 'db'), log: pino({ level: 'silent' }), isGuest },
    { PATH: process.env.PATH, SANDPIT_API_KEY: 'secret' },
  );
}

/** Returns the code and the message that a call fails with. */
export async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'nothing failed';
  } catch (error) {
    return `${(error as MachineError).code} ${(error as MachineError).message}`;
  }
}

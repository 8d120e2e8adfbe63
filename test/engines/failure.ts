import { MachineError } from '../../app/machines/error.ts';

/** Returns the code of the MachineError that a call rejects with; null if it resolves. */
export async function failure(call: Promise<unknown>): Promise<string | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof MachineError) return error.code;
    throw error;
  }
}

import { AgentError } from '../agent/error.ts';
import { MachineError } from '../error.ts';

/**
 * Returns the error to answer with when a machine could not be copied. `isLate`: because that took
 * too long.
 */
export function failureOf(cause: unknown, isLate: boolean): unknown {
  if (isLate) return new MachineError('timeout', 'The machine was not copied in time: try again later', { cause });
  const hasStopped = cause instanceof AgentError || (cause instanceof MachineError && cause.code === 'gone');
  return hasStopped ? new MachineError('failed', 'The machine of the sandbox has stopped', { cause }) : cause;
}

import { findMachine, type MachineRecord } from '../../db/machines/read.ts';
import type { Context, Machines } from '../context.ts';
import { HttpError } from '../errors.ts';
import type { Agent } from './agent/agent.ts';
import { MachineError, type MachineErrorCode } from './error.ts';

/** A sandbox whose machine can be reached. */
export type RunningSandbox = {
  record: MachineRecord;
  /** Returns the connection to its agent. Throws HttpError, as `machineFailure` says. */
  agent: () => Promise<Agent>;
};

/** A request for a sandbox that does not run. E2B's clients recognize it by the status only. */
export class NotRunning extends HttpError {
  override name = 'NotRunning';
  readonly sandboxId: string;

  constructor(sandboxId: string) {
    super(502, 'The sandbox was not found');
    this.sandboxId = sandboxId;
  }
}

/**
 * Returns a function that finds a running sandbox, anyone's: requests to a machine carry the
 * machine's own credential. `mayWake` says whether the request's credential is good enough to
 * resume the sandbox, if it is paused and has `autoResume`; what it throws is thrown. Throws
 * NotRunning, and HttpError as `machineFailure` says.
 */
export function runningSandboxes(
  { store, now }: Pick<Context, 'store' | 'now'>,
  { agentOf, wake }: Pick<Machines, 'agentOf' | 'wake'>,
): (id: string, mayWake: (record: MachineRecord) => boolean) => Promise<RunningSandbox> {
  return async (id, mayWake) => {
    const failed = (error: unknown) => {
      throw machineFailure(id, error);
    };
    let record = await findMachine(store.db, now(), id);
    if (record && isWoken(record) && mayWake(record)) {
      await wake(id).catch(failed);
      record = await findMachine(store.db, now(), id);
    }
    if (record?.status !== 'active') throw new NotRunning(id);
    return { record, agent: () => agentOf(id).catch(failed) };
  };
}

/** Returns whether a request resumes the sandbox. */
function isWoken({ status, settings }: MachineRecord): boolean {
  return status === 'paused' && settings !== null && JSON.parse(settings).autoResume === true;
}

const statusOf: { [code in MachineErrorCode]?: number } = {
  unavailable: 503,
  full: 503,
  timeout: 504,
  unsupported: 501,
};

/**
 * Returns the error to answer with for a failure of a sandbox's machine, and any other error
 * unchanged: NotRunning for a machine that is gone, 503 for an engine that is away, 504 for a slow
 * one.
 */
export function machineFailure(id: string, error: unknown): unknown {
  if (!(error instanceof MachineError)) return error;
  if (error.code === 'gone') return new NotRunning(id);
  const status = statusOf[error.code] ?? 500;
  return new HttpError(status, error.message, status === 503 ? { 'Retry-After': '1' } : {});
}

import { hash, timingSafeEqual } from 'node:crypto';
import type { Request } from 'express';
import { findMachine, type MachineRecord } from '../../../db/machines/read.ts';
import { setupOf } from '../../../db/machines/setup.ts';
import type { Context, Machines } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { MachineError, type MachineErrorCode } from '../../machines/error.ts';

/** The running sandbox that a request with a valid access token is for. */
export type Target = {
  id: string;
  /** the variables that its programs get */
  env: Record<string, string>;
  /** the user that the request names, or its template; empty: the machine's default */
  user: string;
  /** where commands run that name no directory; empty: in the user's home */
  workdir: string;
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

/** In the words of E2B's envd. */
const unauthorized = 'unauthorized access, please provide a valid access token or method signing if supported';

/**
 * Returns a function that finds the sandbox that `E2b-Sandbox-Id` names and checks
 * `X-Access-Token`. Call it before anything else, also before the body is read. It throws what
 * `findRunningSandbox` throws, and HttpError 401.
 */
export function findTarget(context: Context): (req: Request) => Promise<Target> {
  const { tokenOf } = machinesOf(context);
  const findRunning = findRunningSandbox(context);
  return async (req) => {
    const sandbox = await findRunning(req, (id) => isToken(req, tokenOf(id)));
    if (!isToken(req, tokenOf(sandbox.id))) throw new HttpError(401, unauthorized);
    return sandbox;
  };
}

/**
 * Does what `findTarget` does without checking a credential: the caller has to. `mayWake` says
 * whether the request's credential is good enough to resume the sandbox, if it is paused and has
 * `autoResume`. Throws HttpError 400 without an id, NotRunning, and HttpError as `machineFailure`
 * says.
 */
export function findRunningSandbox(
  context: Context,
): (req: Request, mayWake: (id: string) => boolean) => Promise<Target> {
  const { store, now } = context;
  const { agentOf, wake } = machinesOf(context);
  return async (req, mayWake) => {
    const id = req.get('e2b-sandbox-id');
    if (id === undefined) throw new HttpError(400, 'Name the sandbox in the header E2b-Sandbox-Id');
    const failed = (error: unknown) => {
      throw machineFailure(id, error);
    };
    let record = await findMachine(store.db, now(), id);
    if (record && isWoken(record) && mayWake(id)) {
      await wake(id).catch(failed);
      record = await findMachine(store.db, now(), id);
    }
    if (record?.status !== 'active') throw new NotRunning(id);
    const setup = setupOf(record.setup);
    return {
      id,
      env: record.env === null ? {} : JSON.parse(record.env),
      user: userOf(req.headers.authorization) || (setup?.user ?? ''),
      workdir: setup?.workdir ?? '',
      agent: () => agentOf(id).catch(failed),
    };
  };
}

/** Returns whether a request resumes the sandbox. */
function isWoken({ status, settings }: MachineRecord): boolean {
  return status === 'paused' && settings !== null && JSON.parse(settings).autoResume === true;
}

/** Returns whether a request carries this access token. Takes the same time either way. */
export function isToken(req: Request, token: string): boolean {
  const given = req.headersDistinct['x-access-token']?.[0];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
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

/** Returns the user of basic credentials (RFC 7617); empty if there are none. */
function userOf(authorization = ''): string {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? [];
  return (
    Buffer.from(encoded ?? '', 'base64')
      .toString()
      .split(':', 1)[0] ?? ''
  );
}

/** Returns the machines. Throws an Error with records only. */
export function machinesOf({ machines }: Context): Machines {
  if (!machines) throw new Error('there are no machines');
  return machines;
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

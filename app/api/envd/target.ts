import { hash, timingSafeEqual } from 'node:crypto';
import type { Request } from 'express';
import { setupOf } from '../../../db/machines/setup.ts';
import type { Context, Machines } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { runningSandboxes } from '../../machines/running.ts';

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
  const find = runningSandboxes(context, machinesOf(context));
  return async (req, mayWake) => {
    const id = req.get('e2b-sandbox-id');
    if (id === undefined) throw new HttpError(400, 'Name the sandbox in the header E2b-Sandbox-Id');
    const { record, agent } = await find(id, () => mayWake(id));
    const setup = setupOf(record.setup);
    return {
      id,
      env: record.env === null ? {} : JSON.parse(record.env),
      user: userOf(req.headers.authorization) || (setup?.user ?? ''),
      workdir: setup?.workdir ?? '',
      agent,
    };
  };
}

/** Returns whether a request carries this access token. Takes the same time either way. */
export function isToken(req: Request, token: string): boolean {
  const given = req.headersDistinct['x-access-token']?.[0];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
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

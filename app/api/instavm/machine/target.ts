import type { Request } from 'express';
import type { MachineRecord } from '../../../../db/machines/read.ts';
import { setupOf } from '../../../../db/machines/setup.ts';
import { findSandbox } from '../../../../db/sandboxes/read.ts';
import { findSession } from '../../../../db/sessions/sessions.ts';
import { principalOf } from '../../../auth.ts';
import type { Context, Machines } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import { makeDirectory } from '../../../machines/agent/files.ts';
import type { Place } from '../../../machines/code/context.ts';
import { NotRunning, runningSandboxes } from '../../../machines/running.ts';
import { createRestarter } from './restart.ts';

/** A running sandbox of the caller, with its machine. */
export type MachineTarget = {
  id: string;
  record: MachineRecord;
  /** the variables that its programs get */
  env: Record<string, string>;
  /** where code and commands run, unless the template says it; empty: in the home of the user */
  directory: string;
  /** Returns the connection to its agent. Throws HttpError, as `machineFailure` says. */
  agent: () => Promise<Agent>;
};

export type MachineTargets = {
  /** Returns the session's sandbox. If that has ended, another one is started in the session. */
  ofSession: (req: Request, sessionId: string) => Promise<MachineTarget>;
  ofVm: (req: Request, vmId: string) => Promise<MachineTarget>;
};

/** Why nothing inside a sandbox can be reached. */
export const noMachines =
  'Sandpit keeps the record of sandboxes and runs no machines: it executes no commands, and has no files, terminals, shared ports, egress policies and staged variables, unless it is started with --machines';

/**
 * Returns functions that find a caller's sandbox for a request to its machine. They resume one that
 * is suspended and has `auto_resume`. They throw HttpError 501 with records only, HttpError 403 for
 * a sandbox that is unknown, someone else's, suspended or has ended (InstaVM's client shows its
 * user nothing of a 404), and HttpError as `machineFailure` says.
 */
export function machineTargets(context: Context): MachineTargets {
  const { store, now, machines } = context;
  if (!machines) return { ofSession: refuse, ofVm: refuse };
  const restart = createRestarter(context, machines);
  const reachOwn = machineReacher(context, machines);
  const reach = (req: Request, id: string): Promise<MachineTarget> => {
    req.sandboxId = id;
    return reachOwn(principalOf(req).user.id, id);
  };
  return {
    ofVm: async (req, vmId) => {
      const sandbox = await findSandbox(store.db, now(), principalOf(req).user.id, vmId);
      if (!sandbox) throw new HttpError(403, `There is no sandbox ${vmId}`);
      return reach(req, vmId);
    },
    ofSession: async (req, sessionId) => {
      const session = await findSession(store.db, now(), principalOf(req).user.id, sessionId);
      if (!session) throw new HttpError(403, `There is no session ${sessionId}`);
      const { sandbox } = session;
      return reach(req, sandbox.status === 'killed' ? await restart(req, session) : sandbox.id);
    },
  };
}

/**
 * Returns a function that reaches the machine of a sandbox that belongs to this user. It resumes
 * and throws as `machineTargets` says.
 */
export function machineReacher(
  context: Context,
  machines: Machines,
): (ownerId: number, id: string) => Promise<MachineTarget> {
  const find = runningSandboxes(context, machines);
  return async (ownerId, id) => {
    try {
      const { record, agent } = await find(id, () => true);
      const env = record.env === null ? {} : JSON.parse(record.env);
      // Machines of that driver share the disk of this one.
      if (machines.driver.name === 'process') return { id, record, env, directory: '', agent };
      const user = setupOf(record.setup)?.user ?? '';
      return { id, record, env, directory: directories.app, agent: async () => furnish(await agent(), user) };
    } catch (error) {
      throw error instanceof NotRunning ? await whyNot(context, ownerId, id) : error;
    }
  };
}

/** Returns where the sandbox's code and commands run. */
export function placeOf({ env, record, directory }: MachineTarget): Place {
  const setup = setupOf(record.setup);
  return { user: setup?.user ?? '', cwd: setup?.workdir ?? directory, env };
}

/** Returns a path of the machine: one that is not absolute starts where commands run. */
export function pathIn(target: MachineTarget, path: string): string {
  const { cwd } = placeOf(target);
  return cwd === '' || /^[/~]/.test(path) ? path : `${cwd}/${path}`;
}

/**
 * Where InstaVM's code runs, and where its provider for OpenAI Agents keeps its files. They belong
 * to the machine's user, who could not make them.
 */
const directories = { app: '/app', workspace: '/workspace' };

const furnished = new WeakMap<Agent, Promise<unknown>>();

/** Returns a machine's agent once the directories of this dialect are there. */
function furnish(agent: Agent, user: string): Promise<Agent> {
  // An image may have them, or have a file in their place.
  const make = (path: string) => makeDirectory(agent, user, path).catch(() => {});
  const made = furnished.get(agent) ?? Promise.all(Object.values(directories).map(make));
  furnished.set(agent, made);
  return made.then(() => agent);
}

const refuse = async (): Promise<never> => {
  throw new HttpError(501, noMachines);
};

/** Returns the error for a sandbox that does not run. */
async function whyNot({ store, now }: Context, ownerId: number, id: string): Promise<HttpError> {
  const sandbox = await findSandbox(store.db, now(), ownerId, id);
  if (sandbox?.status !== 'paused') return new HttpError(403, `The sandbox ${id} has ended`);
  return new HttpError(403, `The sandbox ${id} is suspended: resume it first with POST /v1/vms/${id}/resume`);
}

import { randomUUID } from 'node:crypto';
import { type Request, type RequestHandler, Router } from 'express';
import type { components } from '../../../../../spec/types.gen.ts';
import { HttpError } from '../../../../errors.ts';
import type { Agent } from '../../../../machines/agent/agent.ts';
import { AgentError } from '../../../../machines/agent/error.ts';
import {
  connectProcess,
  type Exit,
  listProcesses,
  resizeTerminal,
  signalProcess,
  signals,
  startAlone,
} from '../../../../machines/agent/processes.ts';
import { explainStart } from '../../../../machines/images/shell.ts';
import { stagedFor } from '../staged-env.ts';
import { type MachineTarget, type MachineTargets, placeOf } from '../target.ts';

type Schemas = components['schemas'];

const shell = '/bin/bash';
/** How many terminals one machine has at most. */
const maxTerminals = 64;
const prefix = 'sandpit-terminal:';

/** Returns the tag of a terminal's process, by which a server that has started anew finds it. */
export function terminalTag(id: string): string {
  return prefix + id;
}

/** The routes of terminals, below a session or a sandbox. */
export function terminalRoutes(targets: MachineTargets): Router {
  const router = Router();
  const ofSession = (req: Request) => targets.ofSession(req, req.params.session_id as string);
  const ofVm = (req: Request) => targets.ofVm(req, req.params.vm_id as string);
  for (const [path, find] of [
    ['/v1/sessions/:session_id/pty/sessions', ofSession],
    ['/v1/vms/:vm_id/pty/sessions', ofVm],
  ] as const) {
    router.post(path, create(find));
    router.get(path, list(find));
    router.get(`${path}/:pty_id`, read(find));
    router.delete(`${path}/:pty_id`, end(find));
    router.post(`${path}/:pty_id/resize`, resize(find));
  }
  return router;
}

type Find = (req: Request) => Promise<MachineTarget>;

function create(find: Find): RequestHandler {
  return async (req, res) => {
    const { cols, rows, shell: program, command, id = null }: NonNullable<Schemas['NewTerminal']> = req.body ?? {};
    const target = await find(req);
    const agent = await target.agent();
    const running = await terminalsOf(agent);
    const terminal = id ?? randomUUID();
    if (running.includes(terminal)) throw new HttpError(403, `There is a terminal ${terminal} already`);
    if (running.length >= maxTerminals) {
      throw new HttpError(403, `The sandbox has ${maxTerminals} terminals already: end one first`);
    }
    const args = command ? [shell, '-l', '-c', command] : program ? program.trim().split(/\s+/) : [shell, '-l'];
    await begin(agent, target, { id: terminal, args, columns: cols ?? 80, rows: rows ?? 24 });
    res.status(201).json({ session_id: terminal, alive: true, exit_code: null } satisfies Schemas['Terminal']);
  };
}

type NewTerminal = { id: string; args: string[]; columns: number; rows: number };

/** Starts a terminal, which runs on without anybody who reads it. */
async function begin(agent: Agent, target: MachineTarget, { id, args, columns, rows }: NewTerminal): Promise<void> {
  const { user, cwd, env } = placeOf(target);
  const terminal = { columns, rows };
  const spec = {
    user,
    cwd,
    args,
    env: { TERM: 'xterm-256color', ...env, ...stagedFor(target) },
    hasStdin: true,
    terminal,
    timeoutMilliseconds: 0,
    tag: terminalTag(id),
  };
  try {
    await startAlone(agent, spec);
  } catch (error) {
    throw error instanceof AgentError ? refused(explainStart(error, args[0] ?? '')) : error;
  }
}

function list(find: Find): RequestHandler {
  return async (req, res) => {
    const running = await terminalsOf(await (await find(req)).agent());
    const sessions = running.map((id) => ({ session_id: id, alive: true, exit_code: null }));
    res.json({ sessions } satisfies { sessions: Schemas['Terminal'][] });
  };
}

function read(find: Find): RequestHandler {
  return async (req, res) => {
    const agent = await (await find(req)).agent();
    const id = terminalId(req);
    if ((await terminalsOf(agent)).includes(id)) {
      res.json({ session_id: id, alive: true, exit_code: null } satisfies Schemas['Terminal']);
      return;
    }
    const { exitCode } = await exitOf(agent, id);
    res.json({ session_id: id, alive: false, exit_code: exitCode } satisfies Schemas['Terminal']);
  };
}

function end(find: Find): RequestHandler {
  return async (req, res) => {
    const agent = await (await find(req)).agent();
    await signalProcess(agent, { tag: terminalTag(terminalId(req)) }, signals.kill).catch((error) => {
      // It has ended by itself.
      if (!(error instanceof AgentError) || error.code !== 'not_found') throw error;
    });
    res.json({ success: true });
  };
}

function resize(find: Find): RequestHandler {
  return async (req, res) => {
    const { cols: columns, rows }: Schemas['TerminalSize'] = req.body;
    const agent = await (await find(req)).agent();
    const id = terminalId(req);
    await resizeTerminal(agent, { tag: terminalTag(id) }, { columns, rows }).catch((error) => {
      throw error instanceof AgentError ? refused(error, id) : error;
    });
    res.json({ success: true });
  };
}

/** Returns the ids of the terminals that run. */
async function terminalsOf(agent: Agent): Promise<string[]> {
  const tags = (await listProcesses(agent)).map(({ tag }) => tag);
  return tags.filter((tag) => tag.startsWith(prefix)).map((tag) => tag.slice(prefix.length));
}

/** Returns how a terminal ended a moment ago. Throws HttpError 403 for one that is forgotten. */
async function exitOf(agent: Agent, id: string): Promise<Exit> {
  try {
    for await (const event of connectProcess(agent, { tag: terminalTag(id) })) {
      if (event.type === 'exit') return event.exit;
    }
  } catch (error) {
    throw error instanceof AgentError ? refused(error, id) : error;
  }
  throw new HttpError(403, noTerminal(id));
}

/** InstaVM's client shows its user the `detail` of a 403. */
function refused(error: AgentError, id?: string): HttpError {
  return new HttpError(403, error.code === 'not_found' && id !== undefined ? noTerminal(id) : error.message);
}

export function noTerminal(id: string): string {
  return `There is no terminal ${id}, or it has ended`;
}

function terminalId(req: Request): string {
  return req.params.pty_id as string;
}

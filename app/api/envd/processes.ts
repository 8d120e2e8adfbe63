import type { Router } from 'express';
import type { components } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import { ConnectError } from '../../http/connect.ts';
import type { Streams } from '../../http/streams/streams.ts';
import { AgentError } from '../../machines/agent/error.ts';
import * as processes from '../../machines/agent/processes.ts';
import { kernelOf } from '../../machines/code/tags.ts';
import { explainStart } from '../../machines/images/shell.ts';
import { Procedures } from './connect/procedures.ts';
import { Lanes } from './lanes.ts';
import { sendEvents } from './process-events.ts';
import { inputOf, selectorOf, writeInput } from './process-input.ts';
import type { Target } from './target.ts';

type Schemas = components['schemas'];

const service = '/process.Process';
const keepalive = '{"event":{"keepalive":{}}}';

/** The signals that E2B's protocol has. */
const signals: Record<string, number> = {
  SIGNAL_SIGTERM: processes.signals.terminate,
  SIGNAL_SIGKILL: processes.signals.kill,
};

/** The procedures of E2B's service `process.Process`. */
export function processRoutes(context: Context, streams: Streams): Router {
  const procedures = new Procedures(context, streams);
  procedures.stream(`${service}/Start`, keepalive, async (message, { target, agent, timeoutMilliseconds }, stream) => {
    const spec = specOf(message, target, timeoutMilliseconds);
    const began = performance.now();
    // The agent's own timer begins later, so a process that it kills ends after this.
    const deadline = timeoutMilliseconds === 0 ? undefined : began + timeoutMilliseconds;
    const onStart = () => context.metrics?.execStarted((performance.now() - began) / 1000);
    const events = processes.startProcess(agent, spec, stream.over);
    await explained(spec, sendEvents(events, stream, { deadline, onStart }));
  });
  procedures.stream(`${service}/Connect`, keepalive, async ({ process }, { agent, timeoutMilliseconds }, stream) => {
    stream.endAfter(timeoutMilliseconds);
    await sendEvents(processes.connectProcess(agent, selectorOf(process), stream.over), stream);
  });
  const lists = new Lanes(Number.POSITIVE_INFINITY);
  procedures.unary(`${service}/List`, async (_message, { agent, target }) => ({
    processes: (await lists.run(target.id, () => processes.listProcesses(agent))).filter(isCommand).map(infoOf),
  }));
  procedures.unary(`${service}/Update`, async ({ process, pty: { size } }, { agent }) => {
    await processes.resizeTerminal(agent, selectorOf(process), terminalOf(size));
    return {};
  });
  procedures.unary(`${service}/SendSignal`, async ({ process, signal = 'SIGNAL_UNSPECIFIED' }, { agent }) => {
    const number = signals[signal];
    if (number === undefined)
      throw new ConnectError('unimplemented', `${signal} can not be sent: only SIGTERM, SIGKILL`);
    await processes.signalProcess(agent, selectorOf(process), number);
    return {};
  });
  procedures.unary(`${service}/CloseStdin`, async ({ process }, { agent }) => {
    await processes.closeInput(agent, selectorOf(process));
    return {};
  });
  procedures.unary(`${service}/SendInput`, async ({ process, input }, { agent, gone }) => {
    const { isTerminal, bytes } = inputOf(input);
    await processes.sendInput(agent, selectorOf(process), isTerminal, [bytes], gone);
    return {};
  });
  procedures.receive(`${service}/StreamInput`, (messages, { agent }, signal) => writeInput(agent, messages, signal));
  return procedures.router;
}

/** The variables of the call take precedence over the sandbox's. */
function specOf(
  { process, pty, tag = '', stdin = true }: Schemas['EnvdStart'],
  { env, user, workdir }: Target,
  timeoutMilliseconds: number,
): processes.ProcessSpec {
  const { cmd, args = [], envs, cwd = '' } = process;
  const terminal = pty ? terminalOf(pty.size) : null;
  return {
    user,
    cwd: cwd || workdir,
    args: [cmd, ...args],
    env: { ...env, ...envs },
    hasStdin: stdin,
    terminal,
    timeoutMilliseconds,
    tag,
  };
}

function terminalOf({ cols = 0, rows = 0 }: NonNullable<Schemas['EnvdPty']['size']> = {}): processes.TerminalSize {
  return { columns: cols, rows };
}

/** Waits for a process, and says what to do if its image has no shell. */
async function explained({ args: [program = ''] }: processes.ProcessSpec, running: Promise<void>): Promise<void> {
  try {
    await running;
  } catch (error) {
    throw error instanceof AgentError ? explainStart(error, program) : error;
  }
}

/** Returns false for what runs code, which the code interpreter's clients see as contexts. */
function isCommand({ tag }: processes.RunningProcess): boolean {
  return kernelOf(tag) === null;
}

function infoOf({ pid, tag, cwd, args: [cmd = '', ...args], env }: processes.RunningProcess) {
  return { config: { cmd, args, envs: env, cwd }, pid, ...(tag !== '' && { tag }) };
}

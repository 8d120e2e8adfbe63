import type { Agent } from './agent.ts';
import type { Call } from './call.ts';
import { AgentError } from './error.ts';
import { protocolError } from './frames.ts';
import type { Reply } from './reply-queue.ts';
import { nextReply, readDone, readNothing, readWhole, request, requestAll } from './requests.ts';
import { ArgumentWriter, type ValueReader } from './values.ts';

/** A process of a machine: by its id, or by the tag that it was started with. */
export type Selector = { pid: number } | { tag: string };

export type ProcessSpec = {
  /** empty: `user` */
  user: string;
  /** empty: the user's home */
  cwd: string;
  /** the program and its arguments */
  args: string[];
  env: Record<string, string>;
  hasStdin: boolean;
  /** null: no terminal */
  terminal: TerminalSize | null;
  /** 0: none */
  timeoutMilliseconds: number;
  /** empty: none */
  tag: string;
};

export type TerminalSize = { columns: number; rows: number };

export type Exit = {
  /** -1 if a signal ended it */
  exitCode: number;
  /** the number of the signal; 0: it exited */
  signal: number;
};

export type ProcessEvent =
  | { type: 'start'; pid: number; isTerminal: boolean }
  | { type: 'stdout' | 'stderr'; bytes: Buffer }
  | { type: 'exit'; exit: Exit };

export type RunningProcess = { pid: number; tag: string; cwd: string; args: string[]; env: Record<string, string> };

/** `at` is in milliseconds since 1970. */
export type Printed = { at: number; pid: number; source: 'stdout' | 'stderr' | 'terminal'; bytes: Buffer };

/** What an agent may answer to one call, far above what a machine has. */
const maxProcesses = 10_000;
const maxPrintedBytes = 2 * 2 ** 20;
const sources = ['stdout', 'stderr', 'terminal'] as const;

/**
 * Starts a process. Yields `start` first and `exit` last; a terminal's output is `stdout`. Leaving
 * the loop early leaves the process running; so does the signal, which ends the events at once.
 * Throws AgentError and MachineError, as all of these functions do; the others also throw the
 * reason of the signal.
 */
export async function* startProcess(
  agent: Agent,
  spec: ProcessSpec,
  signal?: AbortSignal,
): AsyncGenerator<ProcessEvent> {
  yield* processEvents(agent.open('start', startArguments(spec), signal), signal);
}

/**
 * Starts a process that nobody listens to: what it prints waits, up to a bound, for the first who
 * connects. Returns its id.
 */
export async function startAlone(agent: Agent, spec: ProcessSpec, signal?: AbortSignal): Promise<number> {
  const readStarted = (values: ValueReader) => {
    const pid = values.u32();
    values.u8();
    return pid;
  };
  return request(agent, 'start', startArguments(spec, flags.alone), readStarted, signal);
}

/** Listens to a process that runs, or ended a moment ago. */
export async function* connectProcess(
  agent: Agent,
  process: Selector,
  signal?: AbortSignal,
): AsyncGenerator<ProcessEvent> {
  yield* processEvents(agent.open('connect', select(process).bytes(), signal), signal);
}

export async function listProcesses(agent: Agent, signal?: AbortSignal): Promise<RunningProcess[]> {
  const processes: RunningProcess[] = [];
  const add = (message: ValueReader) => {
    if (processes.length === maxProcesses) throw protocolError(`it listed more than ${maxProcesses} processes`);
    processes.push(readProcess(message));
  };
  await requestAll(agent, 'list', new ArgumentWriter().bytes(), add, signal);
  return processes;
}

/** The numbers of signals, which all Linux systems share. */
export const signals = { interrupt: 2, kill: 9, terminate: 15 };

/** Sends a signal to a process and its whole group. */
export async function signalProcess(
  agent: Agent,
  process: Selector,
  number: number,
  signal?: AbortSignal,
): Promise<void> {
  await request(agent, 'signal', select(process).u8(number).bytes(), readNothing, signal);
}

export async function resizeTerminal(
  agent: Agent,
  process: Selector,
  size: TerminalSize,
  signal?: AbortSignal,
): Promise<void> {
  const args = select(process).u16(size.columns).u16(size.rows);
  await request(agent, 'resize', args.bytes(), readNothing, signal);
}

/**
 * Writes to a process: resolves once it has taken all. `isTerminal` must match how it was started.
 */
export async function sendInput(
  agent: Agent,
  process: Selector,
  isTerminal: boolean,
  bytes: Iterable<Buffer> | AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<void> {
  const call = agent.open(
    'input',
    select(process)
      .u8(isTerminal ? 2 : 1)
      .bytes(),
    signal,
  );
  try {
    for await (const part of bytes) await call.write(part);
    call.end();
    readDone(await nextReply(call), readNothing);
  } finally {
    call.cancel();
  }
}

/** Closes the standard input of a process. */
export async function closeInput(agent: Agent, process: Selector, signal?: AbortSignal): Promise<void> {
  await request(agent, 'closeInput', select(process).bytes(), readNothing, signal);
}

/** Returns the latest output of commands, oldest first. */
export async function recentOutput(agent: Agent, signal?: AbortSignal): Promise<Printed[]> {
  const printed: Printed[] = [];
  let length = 0;
  const add = (message: ValueReader) => {
    const item = readPrinted(message);
    length += item.bytes.length + 64;
    if (length > maxPrintedBytes) throw protocolError('it kept too much output');
    printed.push(item);
  };
  await requestAll(agent, 'output', new ArgumentWriter().bytes(), add, signal);
  return printed;
}

const flags = { stdin: 1, terminal: 2, alone: 4 };

function startArguments(spec: ProcessSpec, more = 0): Buffer {
  const { user, cwd, args, env, terminal, tag } = spec;
  return new ArgumentWriter()
    .string(user)
    .string(cwd)
    .strings(args)
    .strings(Object.entries(env).map(([name, value]) => variable(name, value)))
    .u8((spec.hasStdin ? flags.stdin : 0) | (terminal === null ? 0 : flags.terminal) | more)
    .u16(terminal?.columns ?? 0)
    .u16(terminal?.rows ?? 0)
    .u32(spec.timeoutMilliseconds)
    .string(tag)
    .bytes();
}

function variable(name: string, value: string): string {
  if (name === '' || name.includes('='))
    throw new AgentError('invalid_argument', `'${name}' can't be the name of an environment variable`);
  return `${name}=${value}`;
}

function select(process: Selector): ArgumentWriter {
  const writer = new ArgumentWriter();
  return 'pid' in process ? writer.u32(process.pid).string('') : writer.u32(0).string(process.tag);
}

async function* processEvents(call: Call, signal: AbortSignal | undefined): AsyncGenerator<ProcessEvent> {
  try {
    for await (const reply of call) yield processEvent(reply);
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

function processEvent(reply: Reply): ProcessEvent {
  if (reply.type === 'message') return readWhole(reply.payload, readStart);
  if (reply.type === 'data') return { type: 'stdout', bytes: reply.payload };
  if (reply.type === 'stderr') return { type: 'stderr', bytes: reply.payload };
  return { type: 'exit', exit: readDone(reply, (result) => ({ exitCode: result.i32(), signal: result.u8() })) };
}

function readStart(message: ValueReader): ProcessEvent {
  return { type: 'start', pid: message.u32(), isTerminal: message.u8() !== 0 };
}

function readProcess(message: ValueReader): RunningProcess {
  const pid = message.u32();
  const tag = message.string();
  const cwd = message.string();
  const args = message.strings();
  const env = message.strings().map((text) => {
    const at = text.indexOf('=');
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  return { pid, tag, cwd, args, env: Object.fromEntries(env) };
}

function readPrinted(message: ValueReader): Printed {
  const at = message.i64();
  const pid = message.u32();
  const number = message.u8();
  const source = sources[number - 1];
  if (source === undefined) throw protocolError(`it sent output of the unknown source ${number}`);
  return { at, pid, source, bytes: message.rest() };
}

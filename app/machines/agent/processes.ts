import type { Agent } from './agent.ts';

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

export type Printed = { at: number; pid: number; source: 'stdout' | 'stderr' | 'terminal'; bytes: Buffer };

/**
 * Starts a process. Yields `start` first and `exit` last; a terminal's output is `stdout`. Leaving
 * the loop early leaves the process running. Throws AgentError and MachineError, as all of these
 * functions do.
 */
export declare function startProcess(agent: Agent, spec: ProcessSpec): AsyncGenerator<ProcessEvent>;
/** Listens to a process that runs, or ended a moment ago. */
export declare function connectProcess(agent: Agent, process: Selector): AsyncGenerator<ProcessEvent>;
export declare function listProcesses(agent: Agent): Promise<RunningProcess[]>;
export declare function signalProcess(agent: Agent, process: Selector, signal: number): Promise<void>;
export declare function resizeTerminal(agent: Agent, process: Selector, size: TerminalSize): Promise<void>;
/** Writes to a process: resolves once it has taken all. `isTerminal` must match how it was started. */
export declare function sendInput(
  agent: Agent,
  process: Selector,
  isTerminal: boolean,
  bytes: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void>;
export declare function closeInput(agent: Agent, process: Selector): Promise<void>;
/** Returns what commands printed lately, oldest first. */
export declare function recentOutput(agent: Agent): Promise<Printed[]>;

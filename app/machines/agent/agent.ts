import type { Duplex } from 'node:stream';

/** An operation of `PROTOCOL.md`, by its number. */
export const operations = {
  start: 1,
  connect: 2,
  list: 3,
  signal: 4,
  resize: 5,
  input: 6,
  closeInput: 7,
  output: 8,
  stat: 16,
  readDirectory: 17,
  makeDirectory: 18,
  move: 19,
  remove: 20,
  read: 21,
  write: 22,
  watch: 23,
  sync: 24,
  disk: 25,
};

export type Operation = keyof typeof operations;

/** A frame of a call that the agent sent. DATA, STDERR and MESSAGE come before DONE. */
export type Reply = { type: 'data' | 'stderr' | 'message' | 'done'; payload: Buffer };

/**
 * A call of the agent. Iterating yields the agent's frames up to and including DONE, and grants
 * credit as they are taken, so that a slow reader slows the machine and not the server. It throws
 * AgentError for ERROR, and MachineError `gone` when the connection breaks. Leaving the loop early
 * cancels the call.
 */
export type Call = AsyncIterable<Reply> & {
  /** Sends bytes; resolves when the agent has room for more. Rejects as iterating does. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Sends no more. */
  end: () => void;
  cancel: () => void;
};

/** A connection to the agent of one machine. */
export type Agent = {
  open: (operation: Operation, args: Buffer) => Call;
  /** Resolves when the connection has ended, for whatever reason. */
  closed: Promise<void>;
  close: () => void;
};

/** Speaks the protocol over a channel. Rejects with MachineError. */
export async function connectAgent(_channel: Duplex): Promise<Agent> {
  throw new Error('not written yet');
}

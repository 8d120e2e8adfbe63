import { MachineError } from '../error.ts';
import type { Agent, Operation } from './agent.ts';
import type { Call } from './call.ts';
import { AgentError } from './error.ts';
import { protocolError } from './frames.ts';
import type { Reply } from './reply-queue.ts';
import { ValueReader } from './values.ts';

/** How long a call whose work is short may take. */
const shortMilliseconds = 60_000;
/** How long a call may take that works through a directory or a disk. */
export const longMilliseconds = 600_000;

/** The most that is kept of an answer which consists of messages. */
const maxAnswer = 16 * 2 ** 20;

/** Calls an operation that only answers DONE. Throws MachineError `timeout` past the deadline. */
export async function request<T>(
  agent: Agent,
  operation: Operation,
  args: Buffer,
  read: (result: ValueReader) => T,
  signal?: AbortSignal,
  milliseconds = shortMilliseconds,
): Promise<T> {
  const call = agent.open(operation, args, signal);
  return withDeadline(call, milliseconds, async () => readDone(await nextReply(call), read));
}

/**
 * Calls an operation whose messages are read one by one, and then DONE. Throws AgentError
 * `resource_exhausted` if they are larger than 16 MiB.
 */
export async function requestAll(
  agent: Agent,
  operation: Operation,
  args: Buffer,
  readMessage: (message: ValueReader) => void,
  signal?: AbortSignal,
): Promise<void> {
  const call = agent.open(operation, args, signal);
  let length = 0;
  await withDeadline(call, longMilliseconds, async () => {
    for await (const reply of call) {
      if (reply.type === 'done') return readDone(reply, readNothing);
      length += reply.payload.length;
      if (length > maxAnswer) throw new AgentError('resource_exhausted', 'the answer is larger than 16 MiB');
      readWhole(expectType(reply, 'message').payload, readMessage);
    }
  });
}

async function withDeadline<T>(call: Call, milliseconds: number, work: () => Promise<T>): Promise<T> {
  const late = setTimeout(
    () => call.cancel(new MachineError('timeout', 'The agent of the sandbox did not answer in time.')),
    milliseconds,
  );
  try {
    return await work();
  } finally {
    clearTimeout(late);
    call.cancel();
  }
}

/** Returns the next frame of a call that must have one. */
export async function nextReply(call: Call): Promise<Reply> {
  const { done, value } = await call.next();
  if (done) throw new MachineError('failed', 'The call of the agent was canceled.');
  return value;
}

/** Throws MachineError unless the reply has the type. */
export function expectType(reply: Reply, type: Reply['type']): Reply {
  if (reply.type !== type) throw protocolError(`it answered ${reply.type} instead of ${type}`);
  return reply;
}

/** Reads the result of a call. */
export function readDone<T>(reply: Reply, read: (result: ValueReader) => T): T {
  return readWhole(expectType(reply, 'done').payload, read);
}

/** Reads a payload. Throws MachineError if bytes are left. */
export function readWhole<T>(payload: Buffer, read: (values: ValueReader) => T): T {
  const values = new ValueReader(payload);
  const result = read(values);
  values.finish();
  return result;
}

export function readNothing(): void {}

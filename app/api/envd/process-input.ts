import type { components } from '../../../spec/types.gen.ts';
import { ConnectError } from '../../http/connect.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { type Selector, sendInput } from '../../machines/agent/processes.ts';

type Schemas = components['schemas'];

type Input = { isTerminal: boolean; bytes: Buffer };

/** Returns the process that a message names. The contract requires its id or its tag. */
export function selectorOf({ pid, tag = '' }: Schemas['EnvdSelector']): Selector {
  return pid === undefined ? { tag } : { pid };
}

/** Returns the bytes in a message for a process. The contract requires one of the two members. */
export function inputOf({ stdin, pty = '' }: Schemas['EnvdInput']): Input {
  const isTerminal = stdin === undefined;
  return { isTerminal, bytes: Buffer.from(stdin ?? pty, 'base64') };
}

/**
 * Writes what the messages hold to the process that the first one names. Resolves once the process
 * has taken it all. Throws ConnectError for messages in the wrong order, and as `sendInput` does.
 */
export async function writeInput(
  agent: Agent,
  messages: AsyncGenerator<Schemas['EnvdStreamInput']>,
  signal: AbortSignal,
): Promise<void> {
  const { value: first } = await messages.next();
  if (!first?.start) throw new ConnectError('invalid_argument', 'The first message has to be `start`');
  const process = selectorOf(first.start.process);
  const inputs = inputsIn(messages);
  const { value: input } = await inputs.next();
  if (input) await sendInput(agent, process, input.isTerminal, bytesOf(input, inputs), signal);
}

async function* inputsIn(messages: AsyncGenerator<Schemas['EnvdStreamInput']>): AsyncGenerator<Input, undefined> {
  for await (const { start, data } of messages) {
    if (start) throw new ConnectError('invalid_argument', 'Only the first message may be `start`');
    if (data) yield inputOf(data.input);
  }
  return undefined;
}

/** Yields the bytes of all inputs. They have to be for the same stream as the first one. */
async function* bytesOf(first: Input, rest: AsyncGenerator<Input>): AsyncGenerator<Buffer> {
  yield first.bytes;
  for await (const { isTerminal, bytes } of rest) {
    if (isTerminal !== first.isTerminal) {
      throw new ConnectError('invalid_argument', 'All messages have to be for the standard input, or for the terminal');
    }
    yield bytes;
  }
}

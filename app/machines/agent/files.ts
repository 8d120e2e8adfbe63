import type { Agent } from './agent.ts';
import type { Call } from './call.ts';
import { type Entry, readEntry } from './entry.ts';
import { AgentError } from './error.ts';
import { protocolError } from './frames.ts';
import {
  expectType,
  longMilliseconds,
  nextReply,
  readDone,
  readNothing,
  readWhole,
  request,
  requestAll,
} from './requests.ts';
import { ArgumentWriter, type ValueReader } from './values.ts';

export type ChangeType = 'create' | 'write' | 'remove' | 'rename' | 'chmod';

/** `name` is relative to the watched directory. */
export type Change = { type: ChangeType; name: string };

const changeTypes: readonly ChangeType[] = ['create', 'write', 'remove', 'rename', 'chmod'];

/**
 * Functions take the user, empty for `user`, then a path. They throw AgentError and MachineError,
 * and the reason of the signal.
 */
export async function statFile(agent: Agent, user: string, path: string, signal?: AbortSignal): Promise<Entry> {
  return request(agent, 'stat', locate(user, path).bytes(), readEntry, signal);
}

/** Returns at most `limit` entries; more is AgentError `resource_exhausted`. */
export async function listDirectory(
  agent: Agent,
  user: string,
  path: string,
  depth: number,
  limit: number,
  signal?: AbortSignal,
): Promise<Entry[]> {
  const entries: Entry[] = [];
  const add = (message: ValueReader) => {
    while (!message.isAtEnd) entries.push(readEntry(message));
    if (entries.length > limit)
      throw new AgentError('resource_exhausted', `the directory has more than ${limit} entries`);
  };
  await requestAll(agent, 'readDirectory', locate(user, path).u32(depth).bytes(), add, signal);
  return entries;
}

export async function makeDirectory(agent: Agent, user: string, path: string, signal?: AbortSignal): Promise<Entry> {
  return request(agent, 'makeDirectory', locate(user, path).bytes(), readEntry, signal);
}

export async function moveFile(
  agent: Agent,
  user: string,
  source: string,
  destination: string,
  signal?: AbortSignal,
): Promise<Entry> {
  return request(agent, 'move', locate(user, source).string(destination).bytes(), readEntry, signal);
}

/** Removes a file, or a directory with all in it. */
export async function removeFile(agent: Agent, user: string, path: string, signal?: AbortSignal): Promise<void> {
  return request(agent, 'remove', locate(user, path).bytes(), readNothing, signal, longMilliseconds);
}

/** Opens a file for reading. Leaving the loop over `content` early cancels it. */
export async function readFile(
  agent: Agent,
  user: string,
  path: string,
  range: { offset: number; length: number } = { offset: 0, length: Number.MAX_SAFE_INTEGER },
  signal?: AbortSignal,
): Promise<{ entry: Entry; content: AsyncIterableIterator<Buffer> }> {
  const call = agent.open('read', locate(user, path).u64(range.offset).u64(range.length).bytes(), signal);
  try {
    const entry = readWhole(expectType(await nextReply(call), 'message').payload, readEntry);
    return { entry, content: contentOf(call) };
  } catch (error) {
    call.cancel();
    throw error;
  }
}

/**
 * Returns the output of a call. Not a generator, because a generator that was never read ignores
 * that its reader leaves.
 */
function contentOf(call: Call): AsyncIterableIterator<Buffer> {
  const end = { done: true, value: undefined } as const;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const { done, value } = await call.next();
      if (done) return end;
      if (value.type !== 'done') return { done: false, value: expectType(value, 'data').payload };
      readDone(value, readNothing);
      return end;
    },
    async return() {
      call.cancel();
      return end;
    },
  };
}

/** Writes a file from a stream, and its metadata. Stops, leaving a part, when the stream fails. */
export async function writeFile(
  agent: Agent,
  user: string,
  path: string,
  content: AsyncIterable<Buffer>,
  metadata: Record<string, string>,
  signal?: AbortSignal,
): Promise<Entry> {
  const call = agent.open('write', locate(user, path).pairs(metadata).bytes(), signal);
  try {
    for await (const part of content) await call.write(part);
    call.end();
    return readDone(await nextReply(call), readEntry);
  } finally {
    call.cancel();
  }
}

export type Watch = {
  /**
   * Yields null once it watches, then changes. Leaving the loop ends it, and the signal at once.
   */
  changes: AsyncGenerator<Change | null>;
  /** Resolves when the reader is done with the changes that were made before. */
  caughtUp: () => Promise<void>;
};

/** Watches a directory from the moment that its changes are asked for. */
export function watchDirectory(
  agent: Agent,
  user: string,
  path: string,
  isRecursive: boolean,
  signal?: AbortSignal,
): Watch {
  let call: Call | null = null;
  async function* changes(): AsyncGenerator<Change | null> {
    let isWatching = false;
    try {
      call = agent.open(
        'watch',
        locate(user, path)
          .u8(isRecursive ? 1 : 0)
          .bytes(),
        signal,
      );
      for await (const reply of call) {
        const { payload } = expectType(reply, 'message');
        yield readWhole(payload, isWatching ? readChange : () => null);
        isWatching = true;
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  }
  const caughtUp = async () => {
    // The agent answers a request after the changes that it has noticed.
    await diskUsage(agent);
    await call?.caughtUp();
  };
  return { changes: changes(), caughtUp };
}

/** Waits until everything is on the disk. */
export async function syncFiles(agent: Agent, signal?: AbortSignal): Promise<void> {
  return request(agent, 'sync', new ArgumentWriter().bytes(), readNothing, signal, longMilliseconds);
}

export async function diskUsage(
  agent: Agent,
  signal?: AbortSignal,
): Promise<{ usedBytes: number; totalBytes: number }> {
  const read = (result: ValueReader) => ({ usedBytes: result.u64(), totalBytes: result.u64() });
  return request(agent, 'disk', new ArgumentWriter().bytes(), read, signal);
}

function locate(user: string, path: string): ArgumentWriter {
  return new ArgumentWriter().string(user).string(path);
}

function readChange(message: ValueReader): Change {
  const number = message.u8();
  const type = changeTypes[number - 1];
  if (type === undefined) throw protocolError(`it sent a change of the unknown type ${number}`);
  return { type, name: message.string() };
}

import type { components } from '../../../spec/types.gen.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { AgentError } from '../../machines/agent/error.ts';
import { type Change, type ChangeType, statFile, watchDirectory } from '../../machines/agent/files.ts';
import { entryInfo } from './entry.ts';

type Schemas = components['schemas'];

const types = {
  create: 'EVENT_TYPE_CREATE',
  write: 'EVENT_TYPE_WRITE',
  remove: 'EVENT_TYPE_REMOVE',
  rename: 'EVENT_TYPE_RENAME',
  chmod: 'EVENT_TYPE_CHMOD',
} as const satisfies Record<ChangeType, Schemas['EnvdChange']['type']>;

/** After these changes the file is there, or was for a moment. */
const leaveFile: ReadonlySet<ChangeType> = new Set(['create', 'write', 'chmod']);

/**
 * Yields null once it watches, then the changes as E2B's `FilesystemEvent`, until the signal.
 * Throws AgentError if the path is not a directory.
 */
export async function* changesIn(
  agent: Agent,
  user: string,
  watch: Schemas['EnvdWatch'],
  signal: AbortSignal,
): AsyncGenerator<Schemas['EnvdChange'] | null> {
  const { path = '', recursive = false } = watch;
  for await (const change of watchDirectory(agent, user, path, recursive, signal)) {
    yield change && (await describeChange(agent, user, watch, change));
  }
}

/** Returns a change as E2B's `FilesystemEvent`. It asks the agent if the watch wants entries. */
export async function describeChange(
  agent: Agent,
  user: string,
  { path = '', includeEntry = false }: Schemas['EnvdWatch'],
  { type, name }: Change,
): Promise<Schemas['EnvdChange']> {
  const isWanted = includeEntry && leaveFile.has(type);
  const entry = isWanted ? await findEntry(agent, user, path === '' ? name : `${path}/${name}`) : undefined;
  return { name, type: types[type], ...(entry && { entry }) };
}

/** Returns a file; undefined if it is gone meanwhile. */
async function findEntry(agent: Agent, user: string, path: string): Promise<Schemas['EnvdEntry'] | undefined> {
  try {
    return entryInfo(await statFile(agent, user, path));
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}

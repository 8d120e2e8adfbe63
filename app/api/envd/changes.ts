import type { components } from '../../../spec/types.gen.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { AgentError } from '../../machines/agent/error.ts';
import { type Change, type ChangeType, statFile, type Watch, watchDirectory } from '../../machines/agent/files.ts';
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

type Described = {
  changes: AsyncGenerator<Schemas['EnvdChange'] | null>;
  caughtUp: Watch['caughtUp'];
};

/**
 * Watches a directory. The changes are null once it watches, then E2B's `FilesystemEvent`, until
 * the
 * signal. They throw AgentError if the path is not a directory.
 */
export function changesIn(
  agent: Agent,
  user: string,
  { path = '', recursive = false, includeEntry = false }: Schemas['EnvdWatch'],
  signal: AbortSignal,
): Described {
  const watch = watchDirectory(agent, user, path, recursive, signal);
  const entryOf = (name: string) => findEntry(agent, user, path === '' ? name : `${path}/${name}`);
  async function* changes(): Described['changes'] {
    for await (const change of watch.changes) {
      if (!change) yield null;
      else yield { name: change.name, type: types[change.type], ...(await entryMember(includeEntry, change, entryOf)) };
    }
  }
  return { changes: changes(), caughtUp: watch.caughtUp };
}

async function entryMember(
  isWanted: boolean,
  { type, name }: Change,
  entryOf: (name: string) => Promise<Schemas['EnvdEntry'] | undefined>,
): Promise<{ entry?: Schemas['EnvdEntry'] }> {
  const entry = isWanted && leaveFile.has(type) ? await entryOf(name) : undefined;
  return entry ? { entry } : {};
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

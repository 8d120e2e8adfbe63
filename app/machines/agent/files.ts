import type { Agent } from './agent.ts';

/** A file of a machine, or a directory or another thing in it. */
export type Entry = {
  name: string;
  path: string;
  type: 'file' | 'directory' | 'other';
  size: number;
  /** permission bits, with set-user-id, set-group-id and sticky */
  mode: number;
  isSymlink: boolean;
  owner: string;
  group: string;
  /** milliseconds since 1970 */
  modifiedAt: number;
  /** the resolved path of a symbolic link; null: it is none */
  symlinkTarget: string | null;
  metadata: Record<string, string>;
};

export type ChangeType = 'create' | 'write' | 'remove' | 'rename' | 'chmod';

/** `name` is relative to the watched directory. */
export type Change = { type: ChangeType; name: string };

/** Functions take the user, empty for `user`, then a path. They throw AgentError and MachineError. */
export declare function statFile(agent: Agent, user: string, path: string): Promise<Entry>;
/** Returns at most `limit` entries; more is AgentError `resource_exhausted`. */
export declare function listDirectory(
  agent: Agent,
  user: string,
  path: string,
  depth: number,
  limit: number,
): Promise<Entry[]>;
export declare function makeDirectory(agent: Agent, user: string, path: string): Promise<Entry>;
export declare function moveFile(agent: Agent, user: string, source: string, destination: string): Promise<Entry>;
export declare function removeFile(agent: Agent, user: string, path: string): Promise<void>;
/** Opens a file for reading. Leaving the loop over `content` early cancels it. */
export declare function readFile(
  agent: Agent,
  user: string,
  path: string,
  range?: { offset: number; length: number },
): Promise<{ entry: Entry; content: AsyncIterable<Buffer> }>;
/** Writes a file from a stream, and its metadata. Stops, leaving a part, when the stream fails. */
export declare function writeFile(
  agent: Agent,
  user: string,
  path: string,
  content: AsyncIterable<Buffer>,
  metadata: Record<string, string>,
): Promise<Entry>;
/** Yields null once it watches, then changes. Leaving the loop ends it. */
export declare function watchDirectory(
  agent: Agent,
  user: string,
  path: string,
  isRecursive: boolean,
): AsyncGenerator<Change | null>;
export declare function syncFiles(agent: Agent): Promise<void>;
export declare function diskUsage(agent: Agent): Promise<{ usedBytes: number; totalBytes: number }>;

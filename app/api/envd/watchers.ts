import { randomBytes } from 'node:crypto';
import type { components } from '../../../spec/types.gen.ts';
import { ConnectError } from '../../http/connect.ts';
import type { Agent } from '../../machines/agent/agent.ts';
import { changesIn } from './changes.ts';

type Schemas = components['schemas'];

/** Watchers of a sandbox, and in all. */
const maxOfSandbox = 64;
const maxInAll = 4096;

/** JSON text that the watchers of a sandbox may collect together, in UTF-16 units. */
const maxLength = 2 ** 20;

/** A watcher that nobody asks for this long ends. */
const idleMilliseconds = 600_000;

/** What the watchers of a sandbox hold together. */
type Share = { watchers: number; length: number };

type Watcher = {
  sandboxId: string;
  share: Share;
  usedAt: number;
  /** The changes since the last call, as JSON texts. */
  changes: string[];
  length: number;
  hasLost: boolean;
  /** resolves when what was done before is among the changes */
  caughtUp: () => Promise<void>;
  stop: AbortController;
};

/**
 * Collects changes for E2B's synchronous Python client, which asks for them now and then. Watchers
 * live in memory: they end with the sandbox, with the server, and when they are not used.
 */
export class Watchers {
  readonly #now: () => number;
  /** By id, the longest unused one first. */
  readonly #watchers = new Map<string, Watcher>();
  readonly #shares = new Map<string, Share>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Starts to watch a directory. Returns the watcher's id. Throws AgentError if it is no directory,
   * and ConnectError if there are too many watchers.
   */
  async create(sandboxId: string, agent: Agent, user: string, watch: Schemas['EnvdWatch']): Promise<string> {
    this.#endIdle();
    const id = randomBytes(12).toString('hex');
    const watcher = this.#add(id, sandboxId);
    const { changes, caughtUp } = changesIn(agent, user, watch, watcher.stop.signal);
    watcher.caughtUp = caughtUp;
    try {
      await changes.next();
    } catch (error) {
      this.#end(id, watcher);
      throw error;
    }
    void this.#collect(id, watcher, changes);
    return id;
  }

  /**
   * Returns the JSON texts of the changes since the last call, up to what was done before this one.
   * Throws ConnectError if there is no such watcher, and once if changes were lost because there
   * were too many.
   */
  async take(sandboxId: string, id: string): Promise<string[]> {
    this.#endIdle();
    await this.#find(sandboxId, id).caughtUp();
    const watcher = this.#find(sandboxId, id);
    const { changes, hasLost } = watcher;
    empty(watcher);
    Object.assign(watcher, { hasLost: false, usedAt: this.#now() });
    this.#watchers.delete(id);
    this.#watchers.set(id, watcher);
    if (!hasLost) return changes;
    throw new ConnectError('resource_exhausted', 'There were too many changes since the last call: some are lost');
  }

  /** Ends a watcher. Throws ConnectError if there is no such watcher. */
  remove(sandboxId: string, id: string): void {
    this.#end(id, this.#find(sandboxId, id));
  }

  #find(sandboxId: string, id: string): Watcher {
    const watcher = this.#watchers.get(id);
    if (watcher?.sandboxId === sandboxId) return watcher;
    throw new ConnectError('not_found', `watcher with id ${id} not found`);
  }

  async #collect(id: string, watcher: Watcher, changes: AsyncIterable<Schemas['EnvdChange'] | null>): Promise<void> {
    try {
      for await (const change of changes) {
        if (change && !watcher.stop.signal.aborted) collect(watcher, JSON.stringify(change));
      }
    } catch {
      // The machine or its connection is gone. The next call finds no watcher.
    } finally {
      this.#end(id, watcher);
    }
  }

  /** Makes room by ending the longest unused watchers. */
  #add(id: string, sandboxId: string): Watcher {
    const share = this.#shares.get(sandboxId) ?? { watchers: 0, length: 0 };
    if (share.watchers >= maxOfSandbox) {
      throw new ConnectError('resource_exhausted', `The sandbox has ${maxOfSandbox} watchers already: stop some`);
    }
    for (const [oldest, watcher] of this.#watchers) {
      if (this.#watchers.size < maxInAll) break;
      this.#end(oldest, watcher);
    }
    share.watchers++;
    this.#shares.set(sandboxId, share);
    const stop = new AbortController();
    const none = { changes: [], length: 0, hasLost: false, caughtUp: async () => {} };
    const watcher = { sandboxId, share, usedAt: this.#now(), ...none, stop };
    this.#watchers.set(id, watcher);
    return watcher;
  }

  #endIdle(): void {
    const since = this.#now() - idleMilliseconds;
    for (const [id, watcher] of this.#watchers) {
      if (watcher.usedAt > since) return;
      this.#end(id, watcher);
    }
  }

  #end(id: string, watcher: Watcher): void {
    watcher.stop.abort();
    if (!this.#watchers.delete(id)) return;
    empty(watcher);
    if (--watcher.share.watchers === 0) this.#shares.delete(watcher.sandboxId);
  }
}

/** Beyond its share, a sandbox loses the changes of the watcher that has the next one. */
function collect(watcher: Watcher, change: string): void {
  watcher.hasLost ||= watcher.share.length + change.length > maxLength;
  if (watcher.hasLost) {
    empty(watcher);
    return;
  }
  watcher.changes.push(change);
  watcher.length += change.length;
  watcher.share.length += change.length;
}

function empty(watcher: Watcher): void {
  watcher.share.length -= watcher.length;
  watcher.changes = [];
  watcher.length = 0;
}

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

type Watcher = {
  sandboxId: string;
  usedAt: number;
  /** The changes since the last call, as JSON texts. */
  changes: string[];
  length: number;
  hasLost: boolean;
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

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Starts to watch a directory. Returns the watcher's id. Throws AgentError if it is no directory,
   * and ConnectError if there are too many watchers.
   */
  async create(sandboxId: string, agent: Agent, user: string, watch: Schemas['EnvdWatch']): Promise<string> {
    this.#endIdle();
    this.#requireRoom(sandboxId);
    const id = randomBytes(12).toString('hex');
    const stop = new AbortController();
    const watcher: Watcher = { sandboxId, usedAt: this.#now(), changes: [], length: 0, hasLost: false, stop };
    this.#watchers.set(id, watcher);
    const changes = changesIn(agent, user, watch, stop.signal);
    try {
      await changes.next();
    } catch (error) {
      this.#watchers.delete(id);
      throw error;
    }
    void this.#collect(id, watcher, changes);
    return id;
  }

  /**
   * Returns the JSON texts of the changes since the last call. Throws ConnectError if there is no
   * such watcher, and once if changes were lost because there were too many.
   */
  take(sandboxId: string, id: string): string[] {
    this.#endIdle();
    const watcher = this.#find(sandboxId, id);
    const { changes, hasLost } = watcher;
    Object.assign(watcher, { changes: [], length: 0, hasLost: false, usedAt: this.#now() });
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
      for await (const change of changes) if (change) this.#add(watcher, JSON.stringify(change));
    } catch {
      // The machine or its connection is gone. The next call finds no watcher.
    } finally {
      this.#end(id, watcher);
    }
  }

  /** Beyond the bound the sandbox's other watchers keep what they have. */
  #add(watcher: Watcher, change: string): void {
    const collected = this.#of(watcher.sandboxId).reduce((sum, { length }) => sum + length, 0);
    watcher.hasLost ||= collected + change.length > maxLength;
    if (watcher.hasLost) Object.assign(watcher, { changes: [], length: 0 });
    else {
      watcher.changes.push(change);
      watcher.length += change.length;
    }
  }

  #of(sandboxId: string): Watcher[] {
    return [...this.#watchers.values()].filter((watcher) => watcher.sandboxId === sandboxId);
  }

  #requireRoom(sandboxId: string): void {
    if (this.#of(sandboxId).length >= maxOfSandbox) {
      throw new ConnectError('resource_exhausted', `The sandbox has ${maxOfSandbox} watchers already: stop some`);
    }
    for (const [id, watcher] of this.#watchers) {
      if (this.#watchers.size < maxInAll) return;
      this.#end(id, watcher);
    }
  }

  #endIdle(): void {
    const since = this.#now() - idleMilliseconds;
    for (const [id, watcher] of this.#watchers) {
      if (watcher.usedAt > since) return;
      this.#end(id, watcher);
    }
  }

  #end(id: string, { stop }: Watcher): void {
    this.#watchers.delete(id);
    stop.abort();
  }
}

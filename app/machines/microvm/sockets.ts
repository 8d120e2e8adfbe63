import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

/** The connections that one machine's agent may have that nobody has taken yet, and taken ones. */
const mostConnections = 16;

type Entry = { server: Server; waiting: Socket | null; taken: (() => void) | null };

/** The sockets that agents dial: one for each machine, for as long as this server runs. */
export class Sockets {
  readonly #entries = new Map<string, Promise<Entry>>();
  readonly #onLost: () => void;

  /** `onLost` is called when a connection breaks: the machine may have died. */
  constructor(onLost: () => void) {
    this.#onLost = onLost;
  }

  /** Listens for the agent of a machine. Rejects with an Error of the system. */
  async open(id: string, path: string): Promise<void> {
    await this.#entry(id, path);
  }

  /**
   * Returns the newest connection of a machine's agent, each once; waits for one until the signal
   * aborts, then rejects with its reason.
   */
  async take(id: string, path: string, signal: AbortSignal): Promise<Socket> {
    const entry = await this.#entry(id, path);
    while (entry.waiting === null) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        entry.taken = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    const socket = entry.waiting;
    entry.waiting = null;
    return socket;
  }

  /** Gives up a connection that nobody has taken: the agent behind it is gone. */
  async drop(id: string): Promise<void> {
    const entry = await this.#entries.get(id)?.catch(() => undefined);
    entry?.waiting?.destroy();
  }

  async close(id: string): Promise<void> {
    const entry = await this.#entries.get(id)?.catch(() => undefined);
    this.#entries.delete(id);
    entry?.waiting?.destroy();
    entry?.server.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((id) => this.close(id)));
  }

  #entry(id: string, path: string): Promise<Entry> {
    const found = this.#entries.get(id);
    if (found) return found;
    const entry = this.#listen(path);
    this.#entries.set(id, entry);
    entry.catch(() => this.#entries.delete(id));
    return entry;
  }

  async #listen(path: string): Promise<Entry> {
    const server = createServer();
    const entry: Entry = { server, waiting: null, taken: null };
    server.maxConnections = mostConnections;
    server.on('connection', (socket) => this.#receive(entry, socket));
    // An earlier server has left it.
    rmSync(path, { force: true });
    server.listen(path).unref();
    await once(server, 'listening');
    return entry;
  }

  #receive(entry: Entry, socket: Socket): void {
    socket.on('error', () => {
      // 'close' follows.
    });
    socket.once('close', () => {
      if (entry.waiting === socket) entry.waiting = null;
      this.#onLost();
    });
    entry.waiting?.destroy();
    entry.waiting = socket;
    entry.taken?.();
    entry.taken = null;
  }
}

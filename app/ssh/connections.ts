import type { Socket } from 'node:net';

/** How many there are at most: before they log in, of them from one address, and after that. */
const limits = { loggingIn: 256, fromAddress: 32, loggedIn: 4096, ofOwner: 256, ofSandbox: 64 };
const loginMilliseconds = 60_000;
/** How much may wait for a client that does not read, before and after it has logged in. */
const unsent = { before: 2 ** 20, after: 2 ** 24 };

type Login = { sandboxId: string; ownerId: number };

/**
 * The open SSH connections, within their limits. Those that have not logged in push out only one
 * another.
 */
export class Connections {
  /** by the address and port of the client, the oldest first */
  readonly #loggingIn = new Map<string, { socket: Socket; late: NodeJS.Timeout }>();
  readonly #loggedIn = new Map<string, Login & { socket: Socket }>();

  /** Returns whether there is room for one more. If not, it is closed. */
  add(socket: Socket): boolean {
    const { remoteAddress: ip = '' } = socket;
    const key = keyOf(socket);
    const fromAddress = count(this.#loggingIn, (other) => other.socket.remoteAddress === ip);
    if (ip === '' || fromAddress >= limits.fromAddress) {
      socket.destroy();
      return false;
    }
    const [oldest] = this.#loggingIn.values();
    if (this.#loggingIn.size >= limits.loggingIn) oldest?.socket.destroy();
    const late = setTimeout(() => socket.destroy(), loginMilliseconds);
    this.#loggingIn.set(key, { socket, late });
    socket.once('close', () => {
      clearTimeout(late);
      this.#loggingIn.delete(key);
      this.#loggedIn.delete(key);
    });
    // ssh2 answers whatever a client sends, also one that never reads.
    socket.on('data', () => {
      const most = this.#loggedIn.has(key) ? unsent.after : unsent.before;
      if (socket.writableLength > most) socket.destroy();
    });
    return true;
  }

  of(ip: string, port: number): Socket | undefined {
    return this.#loggingIn.get(`${ip} ${port}`)?.socket;
  }

  /** Returns whether the sandbox may have this connection. It has then, and no time limit. */
  logIn(socket: Socket, { sandboxId, ownerId }: Login): boolean {
    const key = keyOf(socket);
    const own = this.#loggingIn.get(key);
    const isFull =
      this.#loggedIn.size >= limits.loggedIn ||
      count(this.#loggedIn, (other) => other.ownerId === ownerId) >= limits.ofOwner ||
      count(this.#loggedIn, (other) => other.sandboxId === sandboxId) >= limits.ofSandbox;
    if (!own || isFull) return false;
    clearTimeout(own.late);
    this.#loggingIn.delete(key);
    this.#loggedIn.set(key, { socket, sandboxId, ownerId });
    return true;
  }

  /** Closes those to sandboxes that have ended. */
  async closeEnded(hasEnded: (sandboxId: string) => Promise<boolean>): Promise<void> {
    for (const id of new Set([...this.#loggedIn.values()].map(({ sandboxId }) => sandboxId))) {
      if (!(await hasEnded(id))) continue;
      for (const { socket, sandboxId } of this.#loggedIn.values()) if (sandboxId === id) socket.destroy();
    }
  }

  /** Closes all at once. */
  end(): void {
    for (const { socket } of [...this.#loggingIn.values(), ...this.#loggedIn.values()]) socket.destroy();
  }
}

function count<Entry>(entries: Map<string, Entry>, matches: (entry: Entry) => boolean): number {
  return [...entries.values()].filter(matches).length;
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

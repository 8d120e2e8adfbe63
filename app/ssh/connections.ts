import type { Socket } from 'node:net';

/** How many there are at most: in all, to one sandbox, and from one address before they log in. */
const limits = { all: 1024, ofSandbox: 64, loggingIn: 32 };
const loginMilliseconds = 60_000;

/** `sandboxId` is null until the client has logged in, which it must do before `late` fires. */
type Entry = { socket: Socket; sandboxId: string | null; late: NodeJS.Timeout };

/** The open SSH connections, within their limits. */
export class Connections {
  /** by the address and port of the client */
  readonly #open = new Map<string, Entry>();

  /** Returns whether there is room for one more. If not, it is closed. */
  add(socket: Socket): boolean {
    const { remoteAddress: ip = '', remotePort: port = 0 } = socket;
    const others = this.#count((other) => other.sandboxId === null && other.socket.remoteAddress === ip);
    if (ip === '' || this.#open.size >= limits.all || others >= limits.loggingIn) {
      socket.destroy();
      return false;
    }
    const late = setTimeout(() => socket.destroy(), loginMilliseconds);
    const entry = { socket, sandboxId: null, late };
    this.#open.set(keyOf(ip, port), entry);
    socket.once('close', () => {
      clearTimeout(late);
      this.#open.delete(keyOf(ip, port));
    });
    return true;
  }

  of(ip: string, port: number): Socket | undefined {
    return this.#open.get(keyOf(ip, port))?.socket;
  }

  /** Returns whether the sandbox may have this connection. It has then, and no time limit. */
  logIn({ remoteAddress: ip = '', remotePort: port = 0 }: Socket, sandboxId: string): boolean {
    const own = this.#open.get(keyOf(ip, port));
    if (!own || this.#count((other) => other.sandboxId === sandboxId) >= limits.ofSandbox) return false;
    own.sandboxId = sandboxId;
    clearTimeout(own.late);
    return true;
  }

  /** Closes all at once. */
  end(): void {
    for (const { socket } of this.#open.values()) socket.destroy();
  }

  #count(matches: (entry: Entry) => boolean): number {
    return [...this.#open.values()].filter(matches).length;
  }
}

function keyOf(ip: string, port: number): string {
  return `${ip} ${port}`;
}

import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The longest filter fits, with every character of it percent-encoded. */
export const maxHeaderBytes = 2 ** 17;

/**
 * Bounds the open connections of a server. At the limit, the longest-idle connection is closed, so
 * idle connections push out only one another. If all are busy, the new one is closed. There is no
 * limit for each address: clients behind a proxy share one, and an IPv6 network has plenty.
 */
export class ConnectionLimit {
  readonly #server: Server;
  readonly #most: number;
  /** The requests in progress on each open connection. */
  readonly #requests = new Map<Socket, number>();
  /** Connections without a request, the longest-idle first. */
  readonly #idle = new Set<Socket>();
  /**
   * TCP connections in their TLS handshake, by peer. After the handshake Node uses another object.
   */
  readonly #handshaking = new Map<string, Socket>();
  #isDraining = false;

  constructor(server: Server, most: number) {
    this.#server = server;
    this.#most = most;
    const isSecure = 'setSecureContext' in server;
    server.on('connection', (socket: Socket) => {
      this.#add(socket);
      if (isSecure) this.#awaitHandshake(socket);
    });
    server.on('secureConnection', (socket: Socket) => {
      const raw = this.#handshaking.get(peerOf(socket));
      if (raw) this.#forget(raw);
      this.#add(socket);
    });
    server.prependListener('request', ({ socket }: IncomingMessage, res: ServerResponse) => {
      this.#count(socket, 1);
      res.once('close', () => this.#count(socket, -1));
    });
    // It is never idle, but does not hold up the end of the server either.
    server.prependListener('upgrade', (_req, socket: Socket) => this.#idle.delete(socket));
  }

  /**
   * Stops the server. Idle connections are closed at once, busy ones after their response, and
   * those that remain after this many seconds regardless.
   */
  async drain(seconds: number): Promise<void> {
    if (!this.#server.listening) return;
    this.#isDraining = true;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const [socket, count] of this.#requests) if (count === 0) socket.destroy();
    const timer = setTimeout(() => this.#server.closeAllConnections(), seconds * 1000);
    await closed;
    clearTimeout(timer);
  }

  #add(socket: Socket): void {
    if (this.#requests.size >= this.#most) {
      const [longestIdle = socket] = this.#idle;
      this.#forget(longestIdle);
      longestIdle.destroy();
      if (longestIdle === socket) return;
    }
    this.#requests.set(socket, 0);
    this.#idle.add(socket);
    socket.once('close', () => this.#forget(socket));
  }

  #awaitHandshake(socket: Socket): void {
    const peer = peerOf(socket);
    this.#handshaking.set(peer, socket);
    socket.once('close', () => this.#handshaking.get(peer) === socket && this.#handshaking.delete(peer));
  }

  #count(socket: Socket, change: number): void {
    const before = this.#requests.get(socket);
    if (before === undefined) return; // The connection is closed.
    const count = before + change;
    this.#requests.set(socket, count);
    if (count > 0) this.#idle.delete(socket);
    else if (this.#isDraining) socket.end();
    else this.#idle.add(socket);
  }

  #forget(socket: Socket): void {
    this.#requests.delete(socket);
    this.#idle.delete(socket);
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

import type { Request, Response } from 'express';
import { type ConnectCode, endOfStream, envelope } from '../../../http/connect.ts';

/** Seconds of silence before a keepalive if the client names none, as in E2B's server. */
const defaultKeepaliveSeconds = 90;

/** Finds out when a client has vanished without a word. */
const probeMilliseconds = 60_000;

const maxTimerMilliseconds = 2 ** 31 - 1;

/**
 * The messages of a stream's response. Each is one write, and the next one waits while the client
 * does not read, so that memory holds about one message for each stream.
 */
export class MessageStream {
  readonly #res: Response;
  readonly #keepalive: NodeJS.Timeout;
  #deadline: NodeJS.Timeout | undefined;
  readonly #over = new AbortController();
  /** Lets a writer that waits go on. */
  #resume: () => void = () => {};

  /** `keepalive` is the JSON to send when nothing else was sent for a while. */
  constructor(req: Request, res: Response, keepalive: string) {
    this.#res = res;
    this.#keepalive = setInterval(() => {
      if (res.headersSent && !res.writableNeedDrain) res.write(envelope(keepalive));
    }, keepaliveMilliseconds(req)).unref();
    req.socket.setTimeout(0).setKeepAlive(true, probeMilliseconds);
    res.on('drain', () => this.#resume()).once('close', () => this.#close());
    if (res.destroyed) this.#close();
  }

  /** Aborted when the client is gone or the stream has ended. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Sends JSON. Resolves once there is room for more, or the stream is over. */
  send(json: string): Promise<void> | undefined {
    return this.#write(envelope(json));
  }

  /** Sends JSON that has only ASCII characters, as one text: that is faster for large ones. */
  sendAscii(json: string): Promise<void> | undefined {
    const { length } = json;
    const head = String.fromCharCode(0, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255);
    return this.#write(head + json);
  }

  end(error?: { code: ConnectCode; message: string }): void {
    if (this.over.aborted) return;
    this.#begin();
    this.#res.end(endOfStream(error));
    this.#close();
  }

  /** Ends the stream with Connect's error for a deadline after this many milliseconds; 0: never. */
  endAfter(milliseconds: number): void {
    const message = 'The time that Connect-Timeout-Ms allows is over';
    if (milliseconds === 0 || this.over.aborted) return;
    this.#deadline = setTimeout(() => this.end({ code: 'deadline_exceeded', message }), milliseconds).unref();
  }

  /** Frees what the stream uses. Call it when nothing more will be sent. */
  stop(): void {
    this.#close();
  }

  /** Breaks the connection: a client then asks whether the sandbox still runs. */
  cut(): void {
    this.#res.destroy();
  }

  #begin(): void {
    // Tells nginx not to buffer the stream (its documentation, "X-Accel-Buffering").
    if (!this.#res.headersSent) this.#res.set({ 'Content-Type': streamType, 'X-Accel-Buffering': 'no' });
  }

  #write(message: string | Buffer): Promise<void> | undefined {
    if (this.over.aborted) return;
    this.#begin();
    this.#keepalive.refresh();
    if (this.#res.write(message, 'latin1')) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resume = resolve;
    return promise;
  }

  #close(): void {
    clearInterval(this.#keepalive);
    clearTimeout(this.#deadline);
    this.#over.abort();
    this.#resume();
  }
}

const streamType = 'application/connect+json';

function keepaliveMilliseconds(req: Request): number {
  const asked = Number(req.get('keepalive-ping-interval'));
  const seconds = Number.isInteger(asked) && asked > 0 ? asked : defaultKeepaliveSeconds;
  return Math.min(seconds * 1000, maxTimerMilliseconds);
}

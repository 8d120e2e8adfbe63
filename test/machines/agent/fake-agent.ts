import { duplexPair } from 'node:stream';
import { type Agent, connectAgent, operations, protocolVersion } from '../../../app/machines/agent/agent.ts';
import { frameHeader, frameTypes } from '../../../app/machines/agent/frames.ts';
import { ArgumentWriter } from '../../../app/machines/agent/values.ts';

/** A frame that the server sent. */
export type SentFrame = { call: number; type: number; payload: Buffer };

/** The agent's end of a channel, which says what a test tells it to say. */
export class FakeAgent {
  readonly #channel;
  /** the server's end */
  readonly channel;
  readonly received: SentFrame[] = [];
  /** Whether it answers SYNC by itself. */
  syncs = false;
  #bytes = Buffer.alloc(0);
  #waiters: (() => void)[] = [];

  constructor() {
    [this.channel, this.#channel] = duplexPair();
    this.#channel.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#channel.on('error', () => {});
    this.#channel.on('close', () => this.#channel.destroy());
  }

  send(call: number, type: number, payload: Uint8Array = Buffer.alloc(0)): void {
    this.sendRaw(Buffer.concat([frameHeader(call, type, payload.length), payload]));
  }

  sendRaw(bytes: Uint8Array): void {
    this.#channel.write(bytes);
  }

  end(): void {
    this.#channel.end();
  }

  /** Stops and resumes reading what the server sends. */
  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  /** Resolves to the next frame that matches and was not returned before. */
  async take(type: number): Promise<SentFrame> {
    for (;;) {
      const at = this.received.findIndex((frame) => frame.type === type);
      if (at >= 0) return this.received.splice(at, 1)[0] as SentFrame;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9) {
      const length = this.#bytes.readUInt32LE(5);
      if (this.#bytes.length < 9 + length) break;
      const payload = this.#bytes.subarray(9, 9 + length);
      const frame = { call: this.#bytes.readUInt32LE(0), type: this.#bytes[4] as number, payload };
      this.received.push(frame);
      const isSync = frame.type === frameTypes.open && payload[0] === operations.sync;
      if (isSync && this.syncs) this.send(frame.call, frameTypes.done);
      this.#bytes = this.#bytes.subarray(9 + length);
    }
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

/** Returns the payload of HELLO. */
export function hello(version = protocolVersion): Buffer {
  return Buffer.concat([new ArgumentWriter().u16(version).bytes(), Buffer.alloc(8)]);
}

/** Connects to a fake agent that has said hello. */
export async function connectFake(): Promise<{ fake: FakeAgent; agent: Agent }> {
  const fake = new FakeAgent();
  fake.send(0, frameTypes.hello, hello());
  return { fake, agent: await connectAgent(fake.channel) };
}

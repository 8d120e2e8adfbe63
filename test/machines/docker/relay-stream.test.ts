import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import fc from 'fast-check';
import { RelayStream } from '../../../app/machines/docker/relay-stream.ts';

/** Wraps bytes as an engine does: the stream's number, three zeros, the length. */
function framed(stream: 1 | 2, bytes: Uint8Array): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

/**
 * Returns both ends of a connection: the engine's, and the stream that the driver makes of the
 * other.
 */
async function connected(): Promise<{ engine: Socket; socket: Socket; stream: RelayStream; close: () => void }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection');
  const socket = dial(port, '127.0.0.1');
  const [engine] = (await accepted) as [Socket];
  const stream = new RelayStream(socket);
  const close = () => {
    stream.destroy();
    engine.destroy();
    server.close();
  };
  return { engine, socket, stream, close };
}

describe("the stream of the relay's input and output", () => {
  it('takes the output out of frames, however they are cut', async () => {
    const frame = fc.record({
      stream: fc.constantFrom(1 as const, 2 as const),
      bytes: fc.uint8Array({ maxLength: 40 }),
    });
    const property = fc.asyncProperty(
      fc.array(frame, { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 13 })),
      async (frames, sizes) => {
        const { engine, stream, close } = await connected();
        try {
          const whole = Buffer.concat(frames.map(({ stream: number, bytes }) => framed(number, bytes)));
          const received = buffer(stream);
          for (let at = 0; at < whole.length; ) {
            const { value } = sizes.next();
            await new Promise((resolve) => engine.write(whole.subarray(at, at + value), resolve));
            at += value;
          }
          engine.end();
          const expected = Buffer.concat(frames.filter(({ stream: number }) => number === 1).map(({ bytes }) => bytes));
          expect(await received).to.deep.equal(expected);
        } finally {
          close();
        }
      },
    );
    await fc.assert(property, { numRuns: 30 });
  });

  it('keeps a part of what the relay says on standard error', async () => {
    const { engine, stream, close } = await connected();
    engine.end(framed(2, Buffer.from('x'.repeat(100_000))));
    expect((await buffer(stream)).length).to.equal(0);
    expect(stream.words).to.equal('x'.repeat(500));
    close();
  });

  it('stops reading when nobody reads', async () => {
    const { engine, socket, stream, close } = await connected();
    const chunk = framed(1, Buffer.alloc(65_528));
    stream.read(0);
    let sent = 0;
    while (!(engine.writableNeedDrain && socket.isPaused())) {
      if (!engine.writableNeedDrain) engine.write(chunk);
      sent += chunk.length;
      expect(sent).to.be.below(2 ** 30);
      await new Promise(setImmediate);
    }
    expect(stream.readableLength).to.be.within(262_144, 2 ** 20);
    close();
  });

  it('tells the other side that it writes no more, and still reads', async () => {
    const { engine, stream, close } = await connected();
    stream.end('question');
    expect((await buffer(engine)).toString()).to.equal('question');
    engine.end(framed(1, Buffer.from('answer')));
    expect((await buffer(stream)).toString()).to.equal('answer');
    close();
  });

  it('fails with `gone` when the connection breaks', async () => {
    const { engine, stream, close } = await connected();
    const failed = once(stream, 'error');
    stream.resume();
    engine.resetAndDestroy();
    expect((await failed)[0]).to.include({ code: 'gone' });
    close();
  });
});

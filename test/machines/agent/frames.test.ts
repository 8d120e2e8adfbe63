import { expect } from 'chai';
import fc from 'fast-check';
import { FrameReader, frameHeader, frameTypes, headerBytes, maxPayload } from '../../../app/machines/agent/frames.ts';
import { MachineError } from '../../../app/machines/error.ts';

type Frame = { call: number; type: number; payload: Buffer };

const { hello, open, data, stderr, end, credit, cancel, message, done, error } = frameTypes;
const fromAgent = [hello, data, stderr, credit, message, done, error];
const anyPayload = fc
  .oneof({ weight: 20, arbitrary: fc.nat(40) }, fc.constantFrom(0, maxPayload - 1, maxPayload))
  .map((length) => Buffer.alloc(length, 'any payload'));
const anyFrame = fc.record({
  call: fc.oneof(fc.nat(5), fc.nat(0xffff_ffff)),
  type: fc.constantFrom(...fromAgent),
  payload: anyPayload,
});

function encode({ call, type, payload }: Frame): Buffer {
  return Buffer.concat([frameHeader(call, type, payload.length), payload]);
}

/** Reads a stream that arrives in pieces which end at the cuts, and joins DATA and STDERR. */
function readPieces(bytes: Buffer, cuts: number[]): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader((call, type, payload) => {
    const last = frames.at(-1);
    if ((type === data || type === stderr) && last?.call === call && last.type === type)
      last.payload = Buffer.concat([last.payload, payload]);
    else frames.push({ call, type, payload });
  });
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  // Each piece is its own memory, as it is when it comes from a socket.
  for (const [n, start] of places.entries()) reader.push(Buffer.from(bytes.subarray(start, places[n + 1])));
  return frames;
}

describe('frames of the agent', () => {
  it('are the same however their bytes are split', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 40 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(encode));
        expect(readPieces(bytes, cuts)).to.deep.equal(readPieces(bytes, []));
      }),
    );
  });

  it('arrive whole, in order, and without empty output', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), (frames) => {
        const received: Frame[] = [];
        const reader = new FrameReader((call, type, payload) => received.push({ call, type, payload }));
        reader.push(Buffer.concat(frames.map(encode)));
        const isEmptyOutput = ({ type, payload }: Frame) => (type === data || type === stderr) && payload.length === 0;
        expect(received).to.deep.equal(frames.filter((frame) => !isEmptyOutput(frame)));
      }),
    );
  });

  it('that are byte by byte are the same too', () => {
    const frames = fromAgent.map((type, n) => ({ call: n, type, payload: Buffer.from(`payload ${n}`) }));
    const bytes = Buffer.concat(frames.map(encode));
    expect(readPieces(bytes, [...bytes.keys()])).to.deep.equal(frames);
  });

  it('of garbage are refused with MachineError, or are frames', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        const reader = new FrameReader(() => {});
        try {
          for (const chunk of chunks) reader.push(Buffer.from(chunk));
        } catch (error) {
          expect(error).to.be.instanceOf(MachineError);
        }
      }),
    );
  });

  it('of a type that only the server sends, or of none, are refused', () => {
    for (const type of [0, open, end, cancel, 11, 255]) {
      const reader = new FrameReader(() => {});
      expect(() => reader.push(frameHeader(1, type, 0))).to.throw(MachineError, `type ${type}`);
    }
  });

  it('with a length above the bound are refused before their payload arrives', () => {
    for (const type of fromAgent) {
      const reader = new FrameReader(() => {});
      expect(() => reader.push(frameHeader(1, type, maxPayload + 1))).to.throw(MachineError, '65537 bytes');
    }
  });

  it('are not copied when they arrive in one piece', () => {
    const bytes = encode({ call: 1, type: data, payload: Buffer.from('payload') });
    const reader = new FrameReader((_call, _type, payload) => {
      expect(payload.buffer).to.equal(bytes.buffer);
      expect(payload.byteOffset).to.equal(bytes.byteOffset + headerBytes);
    });
    expect(reader.push(bytes)).to.equal(1);
  });
});

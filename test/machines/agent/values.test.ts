import { expect } from 'chai';
import fc from 'fast-check';
import { readEntry } from '../../../app/machines/agent/entry.ts';
import { AgentError } from '../../../app/machines/agent/error.ts';
import { ArgumentWriter, ValueReader } from '../../../app/machines/agent/values.ts';
import { MachineError } from '../../../app/machines/error.ts';

const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
const integer = (bytes: number) => fc.nat(2 ** (8 * bytes) - 1);

describe('values of the agent', () => {
  it('come back as they were written', () => {
    const values = fc.record({
      u8: integer(1),
      u16: integer(2),
      u32: fc.double({ min: 0, max: 2 ** 32 - 1, noNaN: true }).map(Math.floor),
      u64: fc.maxSafeNat(),
      string: text,
      strings: fc.array(text),
      pairs: fc.dictionary(text, text, { noNullPrototype: true }),
    });
    fc.assert(
      fc.property(values, ({ u8, u16, u32, u64, string, strings, pairs }) => {
        const writer = new ArgumentWriter().u8(u8).u16(u16).u32(u32).u64(u64);
        const reader = new ValueReader(writer.string(string).strings(strings).pairs(pairs).bytes());
        const read = { u8: reader.u8(), u16: reader.u16(), u32: reader.u32(), u64: reader.u64() };
        const texts = { string: reader.string(), strings: reader.strings(), pairs: reader.pairs() };
        expect({ ...read, ...texts }).to.deep.equal({ u8, u16, u32, u64, string, strings, pairs });
        reader.finish();
      }),
    );
  });

  it('of garbage are refused with MachineError, or are values', () => {
    const readers = [
      readEntry,
      (values: ValueReader) => values.strings(),
      (values: ValueReader) => values.pairs(),
      (values: ValueReader) => [values.i64(), values.u64(), values.i32(), values.u32(), values.u16(), values.u8()],
    ];
    const payload = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.array(fc.constantFrom(0, 1, 2), { maxLength: 200 }));
    fc.assert(
      fc.property(fc.constantFrom(...readers), payload, (read, bytes) => {
        try {
          read(new ValueReader(Buffer.from(bytes)));
        } catch (error) {
          expect(error).to.be.instanceOf(MachineError);
        }
      }),
    );
  });

  it('with a count or a length that lies are refused without making room for it', () => {
    const lie = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    expect(() => new ValueReader(lie).strings()).to.throw(MachineError, 'list of 4294967295 items');
    expect(() => new ValueReader(lie).pairs()).to.throw(MachineError, 'list of 4294967295 items');
    expect(() => new ValueReader(lie).string()).to.throw(MachineError);
  });

  it('that have bytes left over, or a NUL in a text, are refused', () => {
    expect(() => new ValueReader(Buffer.alloc(1)).finish()).to.throw(MachineError);
    expect(() => new ValueReader(Buffer.from([1, 0, 0, 0, 0])).string()).to.throw(MachineError, 'NUL');
  });

  it('too large for JavaScript become the closest number that it holds exactly', () => {
    const most = Buffer.alloc(8, 0xff);
    expect(new ValueReader(most).u64()).to.equal(Number.MAX_SAFE_INTEGER);
    expect(new ValueReader(most).i64()).to.equal(-1);
    const [first, last] = [Buffer.alloc(8), Buffer.alloc(8, 0xff)];
    first[7] = 0x80;
    last[7] = 0x7f;
    expect(new ValueReader(first).i64()).to.equal(Number.MIN_SAFE_INTEGER);
    expect(new ValueReader(last).i64()).to.equal(Number.MAX_SAFE_INTEGER);
  });

  it('that do not fit are refused before they are sent', () => {
    for (const value of [-1, 256, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => new ArgumentWriter().u8(value)).to.throw(AgentError, 'whole number');
    expect(() => new ArgumentWriter().u64(2 ** 53)).to.throw(AgentError, 'whole number');
    expect(() => new ArgumentWriter().string('a\0b')).to.throw(AgentError, 'NUL');
    expect(() => new ArgumentWriter().string('x'.repeat(2 ** 20))).to.throw(AgentError, '1 MiB');
  });
});

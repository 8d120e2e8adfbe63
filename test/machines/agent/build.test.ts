import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { builtFolder, digestFile, digests, programs } from '../../../app/machines/agent/build/compile.ts';

describe('the built agent', () => {
  it('was built from the sources that are here: else run "npm run agent"', () => {
    expect(readFileSync(digestFile, 'utf8')).to.equal(digests(builtFolder));
  });

  it('is small, and a program that needs no library', () => {
    for (const program of programs) {
      const file = join(builtFolder, program);
      expect(statSync(file).size, program).to.be.below(150_000);
      // An interpreter would be a library to load: its kind is 3 in the table of segments.
      expect(segmentKinds(readFileSync(file)), program)
        .to.include(1)
        .and.not.include(3);
    }
  });
});

/** Returns the kinds of the segments of a 64-bit ELF file. */
function segmentKinds(elf: Buffer): number[] {
  const [start, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  return Array.from({ length: count }, (_, n) => elf.readUInt32LE(start + n * size));
}

import { expect } from 'chai';
import fc from 'fast-check';
import {
  chunkSize,
  descending,
  difference,
  has,
  intersection,
  membersOf,
  union,
} from '../../db/sqlite/index/members.ts';

const offsets = fc.oneof(
  fc.array(fc.nat(chunkSize - 1), { maxLength: 20 }),
  fc.array(fc.nat(chunkSize - 1), { minLength: 200, maxLength: 600 }),
);

describe('a set of members', () => {
  const sorted = (set: Iterable<number>) => [...new Set(set)].sort((a, b) => b - a);

  it('contains what was added, highest first, at any size', () => {
    fc.assert(
      fc.property(offsets, (list) => {
        expect([...descending(membersOf(list))]).to.deep.equal(sorted(list));
      }),
    );
    expect([...descending(membersOf([]))]).to.deep.equal([]);
    const full = Array.from({ length: chunkSize }, (_, offset) => offset);
    expect([...descending(membersOf(full))]).to.deep.equal(full.reverse());
  });

  it('is never larger than a bitmap', () => {
    fc.assert(
      fc.property(offsets, (list) => {
        expect(membersOf(list).length).to.be.at.most(chunkSize / 8);
      }),
    );
  });

  it('has the union, intersection, difference and membership of sets', () => {
    fc.assert(
      fc.property(offsets, offsets, fc.nat(chunkSize - 1), (a, b, one) => {
        const [x, y] = [membersOf(a), membersOf(b)];
        expect([...descending(union(x, y))]).to.deep.equal(sorted([...a, ...b]));
        expect([...descending(intersection(x, y))]).to.deep.equal(sorted(a.filter((offset) => b.includes(offset))));
        expect([...descending(difference(x, y))]).to.deep.equal(sorted(a.filter((offset) => !b.includes(offset))));
        expect(has(x, one)).to.equal(a.includes(one));
        expect([...descending(x)]).to.deep.equal(sorted(a));
      }),
    );
  });
});

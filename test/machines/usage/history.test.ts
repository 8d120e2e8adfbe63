import { expect } from 'chai';
import { bytesPerMachine, History, type Reading } from '../../../app/machines/usage/history.ts';

const start = Date.parse('2025-01-18T10:30:00Z');

function reading(at: number): Reading {
  return { at, cpuPercent: 12.34, memoryBytes: 1, cacheBytes: 2, diskUsedBytes: 3, diskTotalBytes: 2 ** 50 };
}

describe('the history of what a machine uses', () => {
  it('has every reading of the last 5 minutes, and one of each minute before that, for an hour', () => {
    const history = new History();
    const seconds = 3 * 3600;
    for (let second = 0; second <= seconds; second += 5) history.add(reading(start + second * 1000));
    const ages = history.between(0, Number.POSITIVE_INFINITY).map(({ at }) => seconds - (at - start) / 1000);
    expect(ages).to.deep.equal([...ages].sort((a, b) => b - a));
    expect(ages.filter((age) => age < 300)).to.have.length(60);
    expect(ages.filter((age) => age >= 300)).to.have.length(60);
    expect(ages[0]).to.be.within(3600, 3600 + 300 + 60);
    expect(bytesPerMachine).to.equal(5760);
  });

  it('returns a range, both ends included, and the newest reading', () => {
    const history = new History();
    expect(history.newest()).to.equal(null);
    expect(history.between(0, Number.POSITIVE_INFINITY)).to.deep.equal([]);
    for (const second of [0, 5, 10, 15]) history.add(reading(start + second * 1000));
    expect(history.newest()).to.deep.equal(reading(start + 15_000));
    expect(history.between(start + 5000, start + 10_000)).to.deep.equal([
      reading(start + 5000),
      reading(start + 10_000),
    ]);
    expect(history.between(0, start - 1)).to.deep.equal([]);
  });
});

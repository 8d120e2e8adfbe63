import { join } from 'node:path';
import { expect } from 'chai';
import { sandpit } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { problemsOf } from './report.ts';
import { type DiskResult, tortureFull, tortureReadOnly } from './trials/disks.ts';
import { torture } from './trials/kills.ts';
import { tortureMachines } from './trials/machines.ts';
import { mountMemory, remountReadOnly } from './trials/mounts.ts';

const cannotMount = 'this user may not mount a file system';

describe('records and machines', function () {
  this.timeout(120_000);
  const seed = 1 + Math.floor(Math.random() * 1e6);

  it(`agree after kill -9 in the middle of creates, pauses, snapshots and so on; what was acknowledged is there (seed ${seed})`, async () => {
    const file = join(temporaryDirectory(), 'sandpit.db');
    const result = await tortureMachines({ file, kills: 3, seconds: 60, seed });
    expect(result.problems).to.deep.equal([]);
    expect([result.kills > 0, result.created > 0]).to.deep.equal([true, true]);
  });
});

/** A short run; `npm run torture` is the long one. */
describe('an acknowledged write', function () {
  this.timeout(60_000);
  const seed = 1 + Math.floor(Math.random() * 1e6);

  it(`survives kill -9 at any moment; an unacknowledged one is there completely or not at all (seed ${seed})`, async () => {
    const result = await torture({ file: join(temporaryDirectory(), 'sandpit.db'), kills: 5, seconds: 40, seed });
    expect(problemsOf(result)).to.deep.equal([]);
    expect(result.kills).to.be.greaterThan(0);
    expect(result.acknowledged).to.be.greaterThan(0);
  });

  it(`survives a full disk; reads continue, and writes resume when there is space (seed ${seed})`, async function () {
    const result = await tortureFull(temporaryDirectory(), seed);
    if (!result) return skip(this, cannotMount);
    hold(result, '507');
  });

  it(`survives a disk that becomes read-only or fails; reads continue (seed ${seed})`, async function () {
    const dir = temporaryDirectory();
    const result = await tortureReadOnly(dir, join(dir, 'disk.img'), seed);
    if (!result) return skip(this, cannotMount);
    hold(result, '503');
  });

  it('a start on a read-only file system reports it', async function () {
    const mount = mountMemory(1, temporaryDirectory());
    if (!mount) return skip(this, cannotMount);
    try {
      remountReadOnly(mount);
      const file = join(mount.dir, 'sandpit.db');
      const { code, stderr } = await sandpit(['serve', '--db', file]);
      expect(code).to.equal(1);
      expect(stderr).to.equal(`sandpit: can't open the database ${file}: its file system is read-only\n`);
    } finally {
      mount.unmount();
    }
  });
});

function hold(result: DiskResult, status: string): void {
  expect(problemsOf(result)).to.deep.equal([]);
  expect(Object.keys(result.refused)).to.include(status);
  expect(result.reads).to.be.greaterThan(0);
  expect(result.recovered).to.be.greaterThan(0);
}

function skip(test: Mocha.Context, reason: string): void {
  if (test.test) test.test.title += ` (skipped: ${reason})`;
  test.skip();
}

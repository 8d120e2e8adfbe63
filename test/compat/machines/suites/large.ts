import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { eachSdkOnMachines } from '../session.ts';
import { target } from '../target.ts';

const megabyte = 2 ** 20;
/** On an engine as much as the bar says. */
const size = (target.isEngine ? 500 : 50) * megabyte;
/** The bar is 64 MB; a garbage collector that is late may add some. */
const allowedGrowth = 96 * megabyte;

/** Yields `size` bytes that don't repeat, in pieces, and gives each to the hash. */
function* pieces(hash: ReturnType<typeof createHash>): Generator<Uint8Array> {
  for (let n = 0; n < size / megabyte; n++) {
    const piece = Buffer.alloc(megabyte, createHash('sha256').update(String(n)).digest());
    hash.update(piece);
    yield piece;
  }
}

/** Returns the most memory that a process has had, in bytes. */
function peakOf(pid: number): number {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

describe("E2B's SDK on machines: large files", () => {
  const { works } = eachSdkOnMachines();

  works('files: a large file up and down', async ({ sandbox, folder, pid }) => {
    const before = peakOf(pid);
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    await sandbox.files.write(`${folder}/a`, ReadableStream.from(pieces(sent)), { requestTimeoutMs: 0 });
    const inside = await sandbox.commands.run(`sha256sum < ${folder}/a`, { timeoutMs: 0 });
    const expected = sent.digest('hex');
    expect(inside.stdout.slice(0, 64)).to.equal(expected);
    const stream = await sandbox.files.read(`${folder}/a`, { format: 'stream', requestTimeoutMs: 0 });
    for await (const piece of stream) received.update(piece);
    expect(received.digest('hex')).to.equal(expected);
    await sandbox.files.remove(`${folder}/a`);
    expect(peakOf(pid) - before).to.be.below(allowedGrowth);
  });
});

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { Agent } from '../../../app/machines/agent/agent.ts';
import { readFile, statFile, writeFile } from '../../../app/machines/agent/files.ts';
import { failureOf } from '../agent/failure.ts';
import { contentOf, text } from './content.ts';
import { endMachines, run, startMachine } from './machine.ts';

const fileBytes = 50 * 2 ** 20;
const fullPart = 65_536;

/** Yields many parts of odd sizes, and tells the hash of all of them. */
async function* oddParts(hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for (let at = 0, n = 0; at < fileBytes; n++) {
    const part = Buffer.alloc(Math.min(fileBytes - at, 1 + ((n * 7_919) % 200_000)), `part ${n} `);
    hash.update(part);
    at += part.length;
    yield part;
  }
}

async function hashOf(agent: Agent, path: string): Promise<{ hash: string; largest: number }> {
  const { entry, content } = await readFile(agent, '', path);
  const hash = createHash('sha256');
  let [length, largest] = [0, 0];
  for await (const part of content) {
    hash.update(part);
    length += part.length;
    largest = Math.max(largest, part.length);
  }
  expect(length).to.equal(entry.size);
  return { hash: hash.digest('hex'), largest };
}

describe('large files of a machine', () => {
  afterEach(endMachines);

  it('arrive as they were sent, in both directions', async () => {
    const { agent } = await startMachine();
    const sent = createHash('sha256');
    const entry = await writeFile(agent, '', 'big', oddParts(sent), {});
    const expected = sent.digest('hex');
    expect(entry.size).to.equal(fileBytes);
    expect((await run(agent, 'sha256sum big')).stdout).to.equal(`${expected}  big\n`);
    const { hash, largest } = await hashOf(agent, 'big');
    expect(hash).to.equal(expected);
    expect(largest).to.be.at.most(fullPart);
  });

  it('leave room for other calls while they are read slowly, and written slowly', async () => {
    const { agent } = await startMachine();
    await run(agent, `head -c ${fileBytes} /dev/zero > big`);
    const { content } = await readFile(agent, '', 'big');
    const gate = Promise.withResolvers<void>();
    const slowly = async function* () {
      yield Buffer.alloc(1_000_000);
      await gate.promise;
      yield Buffer.alloc(1_000_000);
    };
    const writing = writeFile(agent, '', 'slow', slowly(), {});
    expect((await run(agent, 'echo quick')).stdout).to.equal('quick\n');
    expect((await statFile(agent, '', 'big')).size).to.equal(fileBytes);
    gate.resolve();
    expect((await writing).size).to.equal(2_000_000);
    await content.return?.();
    expect((await run(agent, 'echo quick')).stdout).to.equal('quick\n');
  });

  it('can be left early, also before the first part', async () => {
    const { agent } = await startMachine();
    await run(agent, `head -c ${fileBytes} /dev/zero > big`);
    for (const parts of [0, 1, 5]) {
      const { content } = await readFile(agent, '', 'big');
      for (let n = 0; n < parts; n++) expect((await content.next()).value?.length).to.be.greaterThan(0);
      await content.return?.();
      expect((await content.next()).done).to.equal(true);
    }
    expect((await run(agent, 'ls /proc/$PPID/fd -l | grep -c big')).stdout).to.equal('0\n');
  });

  it('stop with the error of the stream that they come from, leaving a part', async () => {
    const { agent } = await startMachine();
    const broken = async function* () {
      yield Buffer.from('a part');
      throw new Error('the client has left');
    };
    expect(await failureOf(writeFile(agent, '', 'file', broken(), {}))).to.equal(
      'Error undefined: the client has left',
    );
    expect((await run(agent, 'echo quick')).stdout).to.equal('quick\n');
  });

  it('stop at their signal, also while nothing moves', async () => {
    const { agent } = await startMachine();
    const leaving = new AbortController();
    const never = async function* () {
      yield Buffer.from('x');
      leaving.abort(new Error('left'));
      yield Buffer.alloc(1_000_000);
    };
    const writing = writeFile(agent, '', 'file', never(), {}, leaving.signal);
    expect(await failureOf(writing)).to.equal('Error undefined: left');
    const reading = readFile(agent, '', 'file', undefined, AbortSignal.abort(new Error('gone')));
    expect(await failureOf(reading)).to.equal('Error undefined: gone');
  });

  it('are replaced in place, so that hard links show the new content', async () => {
    const { agent } = await startMachine();
    await writeFile(agent, '', 'file', contentOf(Buffer.from('first')), {});
    await run(agent, 'ln file other');
    await writeFile(agent, '', 'file', contentOf(Buffer.from('second')), {});
    expect(await text(agent, 'other')).to.equal('second');
  });

  it('that do not fit on the disk are refused', async () => {
    const { agent } = await startMachine();
    const zeros = contentOf(...Array.from({ length: 100 }, () => Buffer.alloc(fullPart)));
    const failure = await failureOf(writeFile(agent, '', '/dev/full', zeros, {}));
    expect(failure).to.match(/^AgentError (resource_exhausted|invalid_argument): /);
  });
});

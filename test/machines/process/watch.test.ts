import { expect } from 'chai';
import type { Agent } from '../../../app/machines/agent/agent.ts';
import { type Change, makeDirectory, moveFile, removeFile, watchDirectory } from '../../../app/machines/agent/files.ts';
import { failureOf } from '../agent/failure.ts';
import { put } from './content.ts';
import { endMachines, run, startMachine } from './machine.ts';

type Watch = AsyncGenerator<Change | null>;

/** Starts to watch a directory; resolves once the agent watches. */
async function watch(agent: Agent, path: string, isRecursive = false, signal?: AbortSignal): Promise<Watch> {
  const changes = watchDirectory(agent, '', path, isRecursive, signal).changes;
  expect(await changes.next()).to.deep.equal({ done: false, value: null });
  return changes;
}

/** Reads changes up to the one that is asked for. Returns all of them, as words. */
async function changesUntil(changes: Watch, last: string): Promise<string[]> {
  const seen: string[] = [];
  while (seen.at(-1) !== last) {
    const { value, done } = await changes.next();
    if (done) throw new Error(`'${last}' is not in ${seen}`);
    seen.push(`${value?.type} ${value?.name}`);
  }
  return seen;
}

describe('watching a directory of a machine', () => {
  afterEach(endMachines);

  it('yields what happens to the files in it', async () => {
    const { agent } = await startMachine();
    await makeDirectory(agent, '', 'd');
    const changes = await watch(agent, 'd');
    await put(agent, 'd/file', 'x');
    expect(await changesUntil(changes, 'write file')).to.include('create file');
    await run(agent, 'chmod 600 d/file');
    await changesUntil(changes, 'chmod file');
    await moveFile(agent, '', 'd/file', 'd/other');
    expect(await changesUntil(changes, 'create other')).to.include('rename file');
    await removeFile(agent, '', 'd/other');
    await changesUntil(changes, 'remove other');
    await changes.return(undefined);
  });

  it('reaches below it only if it is recursive, also into new directories', async () => {
    const { agent } = await startMachine();
    await makeDirectory(agent, '', 'd/below');
    const [flat, deep] = [await watch(agent, 'd'), await watch(agent, 'd', true)];
    await put(agent, 'd/below/file', 'x');
    await changesUntil(deep, 'write below/file');
    await makeDirectory(agent, '', 'd/new');
    await changesUntil(deep, 'create new');
    await put(agent, 'd/new/file', 'x');
    await changesUntil(deep, 'write new/file');
    await put(agent, 'd/last', 'x');
    const seen = await changesUntil(flat, 'create last');
    expect(seen.filter((each) => each.includes('/'))).to.deep.equal([]);
  });

  it('ends at once when its signal aborts', async () => {
    const { agent } = await startMachine();
    const leaving = new AbortController();
    const changes = await watch(agent, '', false, leaving.signal);
    const next = changes.next();
    leaving.abort();
    expect((await next).done).to.equal(true);
    expect((await run(agent, 'echo alive')).stdout).to.equal('alive\n');
  });

  it('is refused for what is no directory', async () => {
    const { agent } = await startMachine();
    await put(agent, 'file', 'x');
    expect(await failureOf(watchDirectory(agent, '', 'none', false).changes.next())).to.match(
      /^AgentError not_found: /,
    );
    expect(await failureOf(watchDirectory(agent, '', 'file', false).changes.next())).to.match(
      /^AgentError invalid_argument: /,
    );
  });

  it('keeps up with many changes', async () => {
    const { agent } = await startMachine();
    await makeDirectory(agent, '', 'd');
    const changes = await watch(agent, 'd');
    const making = run(agent, 'cd d; for n in $(seq 2000); do : > file-$n; done; : > last');
    const seen = await changesUntil(changes, 'create last');
    expect((await making).exitCode).to.equal(0);
    expect(seen.filter((each) => /^create file-\d+$/.test(each))).to.have.length(2_000);
  });
});

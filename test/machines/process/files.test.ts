import { expect } from 'chai';
import {
  diskUsage,
  listDirectory,
  makeDirectory,
  moveFile,
  readFile,
  removeFile,
  statFile,
  syncFiles,
  writeFile,
} from '../../../app/machines/agent/files.ts';
import { failureOf } from '../agent/failure.ts';
import { contentOf, put, text } from './content.ts';
import { endMachines, run, startMachine } from './machine.ts';

describe('files of a machine', () => {
  afterEach(endMachines);

  it('are written with their parents, described, and read back', async () => {
    const { agent, home } = await startMachine();
    const before = Date.now();
    const entry = await put(agent, 'a/b/file.txt', 'hello');
    expect(entry).to.deep.include({ name: 'file.txt', path: `${home}/a/b/file.txt`, type: 'file', size: 5 });
    expect(entry).to.deep.include({ isSymlink: false, symlinkTarget: null, metadata: {} });
    expect(entry.mode).to.equal(0o644);
    // A file system's clock may lag by a tick.
    expect(entry.modifiedAt).to.be.within(before - 20, Date.now() + 20);
    expect(await statFile(agent, '', 'a/b/file.txt')).to.deep.equal(entry);
    expect(await text(agent, 'a/b/file.txt')).to.equal('hello');
    await put(agent, 'a/b/file.txt', '');
    expect(await text(agent, '~/a/b/file.txt')).to.equal('');
  });

  it('can be read in part', async () => {
    const { agent } = await startMachine();
    await put(agent, 'file', '0123456789');
    const part = (offset: number, length: number) => text(agent, 'file', { offset, length });
    expect(await part(2, 3)).to.equal('234');
    expect(await part(8, 100)).to.equal('89');
    expect(await part(10, 1)).to.equal('');
    expect(await part(0, 0)).to.equal('');
    expect(await part(99, 1)).to.equal('');
  });

  it('may have any name', async () => {
    const { agent } = await startMachine();
    for (const name of ['a b', 'ü', '日本', '-rf', '*', '$HOME', '"\'', 'a\nb', '😀', `long${'x'.repeat(250)}`]) {
      await put(agent, `names/${name}`, name);
      expect(await text(agent, `names/${name}`)).to.equal(name);
      expect((await statFile(agent, '', `names/${name}`)).name).to.equal(name);
    }
    expect(await listDirectory(agent, '', 'names', 1, 100)).to.have.length(10);
    expect(await failureOf(statFile(agent, '', 'a\0b'))).to.match(/^AgentError invalid_argument: .*NUL/);
    expect(await failureOf(statFile(agent, '', 'x'.repeat(5_000)))).to.match(/^AgentError /);
  });

  it('that are missing, or something else, are refused in words', async () => {
    const { agent, home } = await startMachine();
    await put(agent, 'file', 'x');
    await makeDirectory(agent, '', 'directory');
    const missing = new RegExp(`^AgentError not_found: .*${home}/none`);
    expect(await failureOf(statFile(agent, '', 'none'))).to.match(missing);
    expect(await failureOf(readFile(agent, '', 'none'))).to.match(missing);
    expect(await failureOf(listDirectory(agent, '', 'none', 1, 10))).to.match(missing);
    expect(await failureOf(moveFile(agent, '', 'none', 'other'))).to.match(missing);
    expect(await failureOf(readFile(agent, '', 'directory'))).to.match(/^AgentError invalid_argument: /);
    expect(await failureOf(put(agent, 'directory', 'x'))).to.match(/^AgentError invalid_argument: /);
    expect(await failureOf(listDirectory(agent, '', 'file', 1, 10))).to.match(/^AgentError invalid_argument: /);
    expect(await failureOf(put(agent, 'file/below', 'x'))).to.match(/^AgentError /);
    expect(await failureOf(statFile(agent, 'nobody-here', 'file'))).to.equal(
      "AgentError unauthenticated: invalid username: 'nobody-here'",
    );
  });

  it('that are neither file nor directory are not read, so that nothing hangs', async () => {
    const { agent } = await startMachine();
    await run(agent, 'mkfifo pipe');
    expect((await statFile(agent, '', 'pipe')).type).to.equal('other');
    expect(await failureOf(readFile(agent, '', 'pipe'))).to.match(/^AgentError invalid_argument: /);
    expect(await failureOf(put(agent, 'pipe', 'x'))).to.match(/^AgentError /);
  });

  it('are listed to a depth, in order of name, within a bound', async () => {
    const { agent, home } = await startMachine();
    for (const path of ['tree/b/c/d', 'tree/a', 'tree/b/e']) await put(agent, path, path);
    const names = async (depth: number) =>
      (await listDirectory(agent, '', 'tree', depth, 100)).map(({ path }) => path.slice(home.length + 6));
    expect(await names(1)).to.deep.equal(['a', 'b']);
    expect(await names(2)).to.deep.equal(['a', 'b', 'b/c', 'b/e']);
    expect(await names(9)).to.deep.equal(['a', 'b', 'b/c', 'b/c/d', 'b/e']);
    const tooMany = await failureOf(listDirectory(agent, '', 'tree', 9, 4));
    expect(tooMany).to.equal('AgentError resource_exhausted: the directory has more than 4 entries');
    expect(await listDirectory(agent, '', 'tree/b/c', 1, 1)).to.have.length(1);
  });

  it('of a large directory are all listed', async () => {
    const { agent } = await startMachine();
    await run(agent, 'mkdir many; cd many; seq -f file-%05g 1000 | xargs touch');
    const entries = await listDirectory(agent, '', 'many', 1, 10_000);
    expect(entries).to.have.length(1_000);
    expect(entries.at(-1)?.name).to.equal('file-01000');
  });

  it('are made, moved and removed', async () => {
    const { agent, home } = await startMachine();
    const made = await makeDirectory(agent, '', 'x/y');
    expect(made).to.deep.include({ name: 'y', path: `${home}/x/y`, type: 'directory' });
    expect(await failureOf(makeDirectory(agent, '', 'x/y'))).to.match(/^AgentError already_exists: /);
    await put(agent, 'x/y/file', 'content');
    expect(await failureOf(makeDirectory(agent, '', 'x/y/file'))).to.match(/^AgentError invalid_argument: /);
    const moved = await moveFile(agent, '', 'x/y/file', 'new/place/file');
    expect(moved).to.deep.include({ path: `${home}/new/place/file`, size: 7 });
    expect(await text(agent, 'new/place/file')).to.equal('content');
    await removeFile(agent, '', 'new');
    expect(await failureOf(statFile(agent, '', 'new'))).to.match(/^AgentError not_found: /);
    await removeFile(agent, '', 'new');
    await syncFiles(agent);
  });

  it('that are links are described as links, and not followed when removed', async () => {
    const { agent, home } = await startMachine();
    await put(agent, 'real/file', 'content');
    await run(agent, 'ln -s real/file one; ln -s one two; ln -s nowhere broken; ln -s loop loop; ln -s real folder');
    const target = `${home}/real/file`;
    expect(await statFile(agent, '', 'one')).to.include({ type: 'file', isSymlink: true, symlinkTarget: target });
    expect(await statFile(agent, '', 'two')).to.include({ isSymlink: true, symlinkTarget: target });
    expect(await statFile(agent, '', 'folder')).to.include({ type: 'directory', symlinkTarget: `${home}/real` });
    expect(await statFile(agent, '', 'broken')).to.include({ isSymlink: true, type: 'other' });
    expect(await statFile(agent, '', 'loop')).to.include({ isSymlink: true, type: 'other' });
    expect(await text(agent, 'two')).to.equal('content');
    const listed = await listDirectory(agent, '', '', 5, 100);
    expect(listed.map(({ path }) => path)).not.to.include(`${home}/folder/file`);
    await removeFile(agent, '', 'folder');
    expect(await text(agent, 'real/file')).to.equal('content');
  });

  it('have their owners, permissions and times', async () => {
    const { agent } = await startMachine();
    await run(agent, 'touch -d "2001-02-03 04:05:06.789 UTC" old; chmod 4751 old; mkdir -m 1777 open');
    const old = await statFile(agent, '', 'old');
    expect(old).to.include({ mode: 0o4751, modifiedAt: Date.UTC(2001, 1, 3, 4, 5, 6, 789) });
    expect((await statFile(agent, '', 'open')).mode).to.equal(0o1777);
    const [owner, group] = (await run(agent, 'stat -c "%U %G" old')).stdout.trim().split(' ');
    expect(old).to.include({ owner, group });
  });

  it('keep metadata, which writing replaces', async function () {
    const { agent } = await startMachine();
    if (!(await keepsMetadata(agent))) this.skip();
    const metadata = { author: 'ü', 'a-b': 'x y', empty: '' };
    const content = contentOf(Buffer.from('x'));
    expect((await writeFile(agent, '', 'file', content, metadata)).metadata).to.deep.equal(metadata);
    expect((await statFile(agent, '', 'file')).metadata).to.deep.equal(metadata);
    expect((await put(agent, 'file', 'y')).metadata).to.deep.equal({});
  });

  it('take room on a disk, which is measured', async () => {
    const { agent } = await startMachine();
    const { usedBytes, totalBytes } = await diskUsage(agent);
    expect(usedBytes).to.be.within(1, totalBytes);
  });
});

async function keepsMetadata(agent: Parameters<typeof statFile>[0]): Promise<boolean> {
  try {
    await writeFile(agent, '', 'probe', contentOf(Buffer.from('x')), { a: 'b' });
    return true;
  } catch {
    return false;
  }
}

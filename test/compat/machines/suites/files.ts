import { expect } from 'chai';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, type Session } from '../session.ts';

/** Runs a command in the folder of the test and returns what it printed. */
async function shell({ sandbox, folder }: Session, command: string): Promise<string> {
  return (await sandbox.commands.run(command, { cwd: folder })).stdout.trim();
}

describe("E2B's SDK on machines: files and folders", () => {
  const { works } = eachSdkOnMachines();

  works('files.read', async (session) => {
    const { sandbox, sdk, folder } = session;
    await shell(session, 'printf "häl\\0lo" > text; : > empty');
    const path = `${folder}/text`;
    expect(await sandbox.files.read(path)).to.equal('häl\0lo');
    const bytes = await sandbox.files.read(path, { format: 'bytes' });
    expect(Buffer.from(bytes).toString()).to.equal('häl\0lo');
    expect(await (await sandbox.files.read(path, { format: 'blob' })).text()).to.equal('häl\0lo');
    expect(await new Response(await sandbox.files.read(path, { format: 'stream' })).text()).to.equal('häl\0lo');
    expect(await sandbox.files.read(path, { gzip: true })).to.equal('häl\0lo');
    expect(await sandbox.files.read(`${folder}/empty`)).to.equal('');
    expect(await sandbox.files.read(`${folder.split('/').at(-1)}/text`)).to.equal('häl\0lo');
    expect(await rejection(sandbox.files.read(`${folder}/none`))).to.be.instanceOf(sdk.FileNotFoundError);
    expect(await rejection(sandbox.files.read(folder))).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  works('files.list', async (session) => {
    const { sandbox, sdk, folder } = session;
    await shell(session, 'mkdir b; touch c a "b/in side"; ln -s a link');
    const entries = await sandbox.files.list(folder);
    expect(entries.map(({ name, type, path }) => [name, type, path])).to.deep.equal([
      ['a', 'file', `${folder}/a`],
      ['b', 'dir', `${folder}/b`],
      ['c', 'file', `${folder}/c`],
      ['link', 'file', `${folder}/link`],
    ]);
    expect(entries.at(-1)?.symlinkTarget).to.equal(`${folder}/a`);
    expect(await rejection(sandbox.files.list(`${folder}/none`))).to.be.instanceOf(sdk.FileNotFoundError);
    expect(await rejection(sandbox.files.list(`${folder}/a`))).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  works('files.list: depth', async (session) => {
    const { sandbox, folder } = session;
    await shell(session, 'mkdir -p b/c/d; touch b/1 b/c/2 b/c/d/3 z');
    const paths = async (depth: number) =>
      (await sandbox.files.list(folder, { depth })).map(({ path }) => path.slice(folder.length + 1));
    expect(await paths(1)).to.deep.equal(['b', 'z']);
    expect(await paths(2)).to.deep.equal(['b', 'b/1', 'b/c', 'z']);
    expect(await paths(3)).to.deep.equal(['b', 'b/1', 'b/c', 'b/c/2', 'b/c/d', 'z']);
    expect(await paths(9)).to.deep.equal(['b', 'b/1', 'b/c', 'b/c/2', 'b/c/d', 'b/c/d/3', 'z']);
  });

  works('files.list: 2,000 entries', async (session) => {
    await shell(session, 'touch $(seq -f file-%04g 2000)');
    const names = (await session.sandbox.files.list(session.folder)).map(({ name }) => name);
    expect(names).to.have.length(2000);
    expect(names).to.deep.equal(names.toSorted());
  });

  works('files.exists', async (session) => {
    const { sandbox, folder } = session;
    await shell(session, 'touch a; ln -s none broken');
    const found = ['', '/a', '/none', '/a/b'].map((path) => sandbox.files.exists(`${folder}${path}`));
    expect(await Promise.all(found)).to.deep.equal([true, true, false, false]);
  });

  works('files.getInfo', async (session) => {
    const { sandbox, sdk, folder } = session;
    await shell(session, 'printf 12345 > a; chmod 2640 a; touch -d @1700000000.5 a; mkdir -m 1777 d');
    const [owner, group] = (await shell(session, "stat -c '%U %G' a")).split(' ');
    const info = await sandbox.files.getInfo(`${folder}/a`);
    const { modifiedTime, ...rest } = info;
    expect(rest).to.deep.include({ name: 'a', type: 'file', path: `${folder}/a`, size: 5, mode: 0o640, owner, group });
    expect(rest.permissions).to.match(/^[g-]rw-r-----$/);
    expect(modifiedTime?.getTime()).to.equal(1_700_000_000_500);
    const directory = await sandbox.files.getInfo(`${folder}/d`);
    expect(directory).to.include({ name: 'd', type: 'dir', mode: 0o777 });
    expect(await rejection(sandbox.files.getInfo(`${folder}/none`))).to.be.instanceOf(sdk.FileNotFoundError);
  });

  works('files.getInfo: symlinks', async (session) => {
    const { sandbox, folder } = session;
    await shell(session, 'touch a; chmod 600 a; ln -s a one; ln -s one two; mkdir d; ln -s d folder');
    const info = (name: string) => sandbox.files.getInfo(`${folder}/${name}`);
    expect(await info('two')).to.include({ name: 'two', type: 'file', symlinkTarget: `${folder}/a` });
    expect((await info('two')).permissions).to.match(/^L/);
    expect(await info('folder')).to.include({ type: 'dir', symlinkTarget: `${folder}/d` });
    expect((await info('a')).symlinkTarget).to.equal(undefined);
  });

  works(
    'files: user',
    async ({ sandbox, folder }) => {
      await sandbox.files.write(`${folder}/root/file`, 'a', { user: 'root' });
      await sandbox.files.write(`${folder}/user/file`, 'a');
      const owner = async (path: string) => {
        const info = await sandbox.files.getInfo(`${folder}/${path}`);
        return `${info.owner}:${info.group}`;
      };
      expect(await owner('root')).to.equal('root:root');
      expect(await owner('root/file')).to.equal('root:root');
      expect(await owner('user')).to.equal('user:user');
      expect(await owner('user/file')).to.equal('user:user');
      expect(await sandbox.files.exists('.bashrc-of-nobody', { user: 'root' })).to.equal(false);
    },
    { engine: true },
  );

  works('files.makeDir', async ({ sandbox, sdk, folder }) => {
    expect(await sandbox.files.makeDir(`${folder}/a/b/c`)).to.equal(true);
    expect(await sandbox.files.makeDir(`${folder}/a/b/c`)).to.equal(false);
    expect((await sandbox.files.getInfo(`${folder}/a/b/c`)).type).to.equal('dir');
    await sandbox.files.write(`${folder}/file`, '');
    expect(await rejection(sandbox.files.makeDir(`${folder}/file`))).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  works('files.rename', async ({ sandbox, sdk, folder }) => {
    await sandbox.files.write(`${folder}/a`, 'text');
    const moved = await sandbox.files.rename(`${folder}/a`, `${folder}/new/b`);
    expect(moved).to.include({ name: 'b', path: `${folder}/new/b`, type: 'file', size: 4 });
    expect(await sandbox.files.exists(`${folder}/a`)).to.equal(false);
    expect(await sandbox.files.read(`${folder}/new/b`)).to.equal('text');
    const error = await rejection(sandbox.files.rename(`${folder}/none`, `${folder}/c`));
    expect(error).to.be.instanceOf(sdk.FileNotFoundError);
  });

  works('files.remove', async (session) => {
    const { sandbox, folder } = session;
    await shell(session, 'mkdir -p d/e; touch d/e/f kept; ln -s ../kept d/link');
    await sandbox.files.remove(`${folder}/d`);
    expect(await shell(session, 'ls')).to.equal('kept');
    await sandbox.files.remove(`${folder}/none`);
    await sandbox.files.remove(`${folder}/kept`);
    expect(await shell(session, 'ls')).to.equal('');
  });
});

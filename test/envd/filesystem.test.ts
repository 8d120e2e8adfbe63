import { expect } from 'chai';
import { call, run } from '../helpers/clients/connect-client.ts';
import { useMachine } from '../helpers/clients/machine-client.ts';

describe('filesystem.Filesystem of a machine', () => {
  const machine = useMachine();
  let folder = '';
  let folders = 0;

  const ask = (method: string, message: object) => call(machine, `filesystem.Filesystem/${method}`, message);
  const inFolder = async (command: string) => {
    const { stdout, stderr, end } = await run(machine, `cd "${folder}" && ${command}`);
    expect([end?.exitCode, stderr], command).to.deep.equal([0, '']);
    return stdout;
  };

  beforeEach(async () => {
    const { stdout } = await run(machine, `mkdir folder-${++folders} && cd folder-${folders} && pwd`);
    folder = stdout.trim();
  });

  it('Stat describes a file, a directory and links', async () => {
    await inFolder(
      'printf 12345 > a; chmod 2640 a; touch -d @1700000000.5 a; mkdir -m 1755 d; ln -s a l; ln -s none b',
    );
    const [owner, group] = (await inFolder("stat -c '%U %G' a")).trim().split(' ');
    const { status, body } = await ask('Stat', { path: `${folder}/a` });
    expect([status, body.entry]).to.deep.equal([
      200,
      {
        name: 'a',
        type: 'FILE_TYPE_FILE',
        path: `${folder}/a`,
        size: '5',
        mode: 0o640,
        permissions: 'grw-r-----',
        owner,
        group,
        modifiedTime: '2023-11-14T22:13:20.500Z',
        isSymlink: false,
      },
    ]);
    const entry = async (name: string) => (await ask('Stat', { path: `${folder}/${name}` })).body.entry;
    const d = { type: 'FILE_TYPE_DIRECTORY', mode: 0o755, permissions: 'dtrwxr-xr-x' };
    expect(await entry('d')).to.include(d);
    const l = { type: 'FILE_TYPE_FILE', mode: 0o640, permissions: 'Lrwxrwxrwx' };
    expect(await entry('l')).to.include({ ...l, isSymlink: true, symlinkTarget: `${folder}/a` });
    const broken = await entry('b');
    expect([broken.isSymlink, 'type' in broken]).to.deep.equal([true, false]);
    const device = (await ask('Stat', { path: '/dev/null' })).body.entry;
    expect(['type' in device, device.permissions]).to.deep.equal([false, '?rw-rw-rw-']);
  });

  it('Stat shows metadata, and knows the home and what lies below it', async () => {
    await machine.write(`${folder}/m`, 'a', { 'X-Metadata-Author': 'me' });
    expect((await ask('Stat', { path: `${folder}/m` })).body.entry.metadata).to.deep.equal({ author: 'me' });
    const { stdout } = await run(machine, 'pwd');
    for (const path of [undefined, '', '~']) {
      expect((await ask('Stat', { path })).body.entry.path, path).to.equal(stdout.trim());
    }
    expect((await ask('Stat', { path: `folder-${folders}` })).body.entry.path).to.equal(folder);
  });

  it('what does not exist is not_found; a path with a NUL is invalid_argument', async () => {
    for (const [method, message] of [
      ['Stat', { path: `${folder}/none` }],
      ['ListDir', { path: `${folder}/none`, depth: 1 }],
      ['Move', { source: `${folder}/none`, destination: `${folder}/a` }],
    ] as const) {
      const { status, body } = await ask(method, message);
      expect([status, body.code], method).to.deep.equal([404, 'not_found']);
    }
    const { status, body } = await ask('Stat', { path: 'a\0b' });
    expect([status, body.code]).to.deep.equal([400, 'invalid_argument']);
  });

  it('ListDir lists down to `depth`, in the order of names', async () => {
    await inFolder('mkdir -p b/c/d; touch a b/1 b/c/2 z');
    const list = async (depth?: number) => {
      const { body } = await ask('ListDir', { path: folder, depth });
      return body.entries.map(({ path }: { path: string }) => path.slice(folder.length + 1));
    };
    for (const depth of [undefined, 0, 1]) expect(await list(depth)).to.deep.equal(['a', 'b', 'z']);
    expect(await list(2)).to.deep.equal(['a', 'b', 'b/1', 'b/c', 'z']);
    expect(await list(9)).to.deep.equal(['a', 'b', 'b/1', 'b/c', 'b/c/2', 'b/c/d', 'z']);
  });

  it('ListDir of a file is invalid_argument, and a list that is too long resource_exhausted', async () => {
    await inFolder('touch a; mkdir many; cd many; seq 50001 | xargs touch');
    const file = await ask('ListDir', { path: `${folder}/a` });
    expect([file.status, file.body.code]).to.deep.equal([400, 'invalid_argument']);
    const many = await ask('ListDir', { path: `${folder}/many` });
    expect([many.status, many.body.code]).to.deep.equal([429, 'resource_exhausted']);
    expect(many.body.message).to.contain('50000 entries');
  });

  it('MakeDir creates parents, and refuses what exists', async () => {
    const { status, body } = await ask('MakeDir', { path: `${folder}/a/b` });
    expect([status, body.entry.path, body.entry.type]).to.deep.equal([200, `${folder}/a/b`, 'FILE_TYPE_DIRECTORY']);
    const again = await ask('MakeDir', { path: `${folder}/a/b` });
    expect([again.status, again.body.code]).to.deep.equal([409, 'already_exists']);
    await inFolder('touch file');
    const file = await ask('MakeDir', { path: `${folder}/file` });
    expect([file.status, file.body.code]).to.deep.equal([400, 'invalid_argument']);
  });

  it('Move renames and creates the parents of the destination', async () => {
    await inFolder('echo text > a');
    const { status, body } = await ask('Move', { source: `${folder}/a`, destination: `${folder}/x/y/b` });
    expect([status, body.entry.path]).to.deep.equal([200, `${folder}/x/y/b`]);
    expect(await inFolder('cat x/y/b; ls')).to.equal('text\nx\n');
  });

  it('Remove deletes a directory with everything in it, and what is missing without a word', async () => {
    await inFolder('mkdir -p a/b; touch a/b/c');
    for (let n = 0; n < 2; n++) {
      expect(await ask('Remove', { path: `${folder}/a` })).to.deep.equal({ status: 200, body: {} });
    }
    expect(await inFolder('ls')).to.equal('');
  });
});

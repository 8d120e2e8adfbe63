import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Client, FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2';
import { openSftp, run, type Ssh, settled, startSsh } from '../helpers/clients/ssh-client.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const { OPEN_MODE: modes } = (await import('ssh2')).default.utils.sftp;

describe('files over SSH', () => {
  let ssh: Ssh;
  let client: Client;
  let sftp: SFTPWrapper;
  let local: string;
  beforeEach(async () => {
    ssh = await startSsh();
    client = await ssh.connect(await ssh.create());
    sftp = await openSftp(client);
    local = temporaryDirectory();
  });

  const done = (work: (callback: (error?: Error | null) => void) => unknown) => settled<undefined>(work as never);
  const put = (from: string, to: string) => done((callback) => sftp.fastPut(from, to, callback));
  const get = (from: string, to: string) => done((callback) => sftp.fastGet(from, to, callback));
  const stat = (path: string): Promise<Stats> => settled((callback) => sftp.stat(path, callback));
  const list = (path: string): Promise<FileEntryWithStats[]> => settled((callback) => sftp.readdir(path, callback));
  const refusal = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'done',
      ({ message }: Error) => message,
    );
  const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

  it('are written and read in whole', async () => {
    for (const length of [0, 1, 32_768, 3_000_001]) {
      const [from, back] = [join(local, 'from'), join(local, 'back')];
      writeFileSync(from, randomBytes(length));
      await done((callback) => {
        const written = sftp.createWriteStream('ä file', { mode: 0o750 });
        written.on('close', () => callback()).on('error', callback);
        written.end(readFileSync(from));
      });
      expect(await stat('ä file')).to.include({ size: length });
      await get('ä file', back);
      expect(hash(back)).to.equal(hash(from));
      // It sends pieces in no order.
      await put(from, 'other');
      await get('other', back);
      expect(hash(back)).to.equal(hash(from));
    }
    expect((await stat('ä file')).mode & 0o777).to.equal(0o750);
  });

  it('are listed, made, moved, linked and removed', async () => {
    writeFileSync(join(local, 'a'), 'a');
    await done((callback) => sftp.mkdir('dir', callback));
    await put(join(local, 'a'), 'dir/a');
    await done((callback) => sftp.utimes('dir/a', 1_000_000_000, 1_000_000_000, callback));
    await done((callback) => sftp.chmod('dir/a', 0o600, callback));
    await done((callback) => sftp.symlink('a', 'dir/link', callback));
    const entries = await list('dir');
    expect(entries.map(({ filename }) => filename).sort()).to.deep.equal(['a', 'link']);
    const file = entries.find(({ filename }) => filename === 'a');
    expect(file?.longname).to.match(/^-rw------- \w+ +\w+ +1 2001-09-09 01:46 a$/);
    expect(file?.attrs).to.include({ size: 1, mtime: 1_000_000_000 });
    expect(entries.find(({ filename }) => filename === 'link')?.attrs.isSymbolicLink()).to.equal(true);
    expect((await stat('dir/link')).isFile()).to.equal(true);
    expect(await settled<string>((callback) => sftp.readlink('dir/link', callback))).to.equal('a');
    const home = (await run(client, 'pwd')).stdout.trim();
    expect(await settled<string>((callback) => sftp.realpath('./dir/..', callback))).to.equal(home);
    await done((callback) => sftp.rename('dir/a', 'dir/b', callback));
    await put(join(local, 'a'), 'dir/a');
    expect(await refusal(done((callback) => sftp.rename('dir/a', 'dir/b', callback)))).to.equal('dir/b exists already');
    expect(await refusal(done((callback) => sftp.rmdir('dir', callback)))).to.contain('not empty');
    expect(await refusal(done((callback) => sftp.unlink('dir', callback)))).to.contain('directory');
    for (const name of ['a', 'b', 'link']) await done((callback) => sftp.unlink(`dir/${name}`, callback));
    await done((callback) => sftp.rmdir('dir', callback));
    expect(await list('.')).to.deep.equal([]);
  });

  it('a directory of many is listed page by page', async () => {
    await run(client, 'mkdir many; cd many; seq 1000 | xargs touch');
    expect(await list('many')).to.have.length(1000);
  });

  it('what is not there, not allowed or not offered is refused in words', async () => {
    expect(await refusal(stat('nope'))).to.match(/does not exist/);
    expect(await refusal(list('nope'))).to.match(/does not exist/);
    expect(await refusal(stat('a\0b'))).to.contain('NUL');
    writeFileSync(join(local, 'a'), 'abc');
    expect(await refusal(put(join(local, 'a'), 'nope/a'))).to.match(/does not exist/);
    expect(await refusal(put(join(local, 'a'), '.'))).to.equal('. is a directory');
    const open = (flags: number) => settled<Buffer>((callback) => sftp.open('a', flags, callback));
    const written = await open(modes.WRITE | modes.CREAT | modes.TRUNC);
    const write = (at: number) => done((callback) => sftp.write(written, Buffer.from('abc'), 0, 3, at, callback));
    await write(6);
    await write(0);
    expect(await refusal(write(1))).to.contain('from its beginning to its end');
    expect(await refusal(done((callback) => sftp.close(written, callback)))).to.contain(
      'The bytes from 3 on did not come',
    );
    expect(await refusal(write(3))).to.equal('The handle is not open');
    expect(await refusal(open(modes.WRITE | modes.CREAT | modes.EXCL))).to.equal('a exists already');
    expect(await refusal(open(modes.READ | modes.WRITE))).to.contain('not both');
    expect(await refusal(open(modes.WRITE | modes.APPEND))).to.contain('to the end of a file');
    // Opened and closed, or resumed: what it holds stays.
    await done(async (callback) => sftp.close(await open(modes.WRITE), callback));
    const resumed = await open(modes.WRITE);
    await done((callback) => sftp.write(resumed, Buffer.from('x'), 0, 1, 3, callback));
    expect(await refusal(done((callback) => sftp.close(resumed, callback)))).to.contain('The bytes from 0 on');
    expect((await stat('a')).size).to.equal(3);
  });

  it('a file keeps the mode that it is sent with, also when its length is set at the end, as scp does', async () => {
    const written = await settled<Buffer>((callback) =>
      sftp.open('run', modes.WRITE | modes.CREAT, { mode: 0o100750 }, callback),
    );
    await done((callback) => sftp.write(written, Buffer.from('abc'), 0, 3, 0, callback));
    await done((callback) => sftp.fsetstat(written, { size: 3 }, callback));
    await done((callback) => sftp.close(written, callback));
    expect((await stat('run')).mode & 0o777).to.equal(0o750);
    // Shorter than before.
    const again = await settled<Buffer>((callback) => sftp.open('run', modes.WRITE, callback));
    await done((callback) => sftp.write(again, Buffer.from('d'), 0, 1, 0, callback));
    await done((callback) => sftp.fsetstat(again, { size: 1 }, callback));
    await done((callback) => sftp.close(again, callback));
    expect(await stat('run')).to.include({ size: 1 });
  });

  it('more requests at once than are read are answered all the same', async () => {
    await run(client, 'head -c 1000000 /dev/zero > zeros');
    const read = await settled<Buffer>((callback) => sftp.open('zeros', modes.READ, callback));
    const into = Buffer.alloc(500);
    const reads = Array.from({ length: 10_000 }, (_, n) =>
      // In all more than the client's window holds: it has to give room while its requests wait.
      done((callback) => sftp.read(read, into, 0, 500, n * 50, callback)),
    );
    await Promise.all(reads);
  });

  it('an upload of a client that leaves stops, and leaves what has come', async () => {
    const written = await settled<Buffer>((callback) => sftp.open('part', modes.WRITE | modes.CREAT, callback));
    await done((callback) => sftp.write(written, Buffer.from('part'), 0, 4, 0, callback));
    client.destroy();
    const [vm] = (await ssh.get('/v1/vms')).body as { vm_id: string }[];
    expect(await run(await ssh.connect(vm?.vm_id as string), 'cat part')).to.include({ stdout: 'part' });
  });

  describe('with scp -O, in an image without scp', () => {
    let path: string;
    beforeEach(async () => {
      path = join(local, 'bin');
      mkdirSync(path);
      for (const name of ['basename', 'cat', 'chmod', 'dd', 'mkdir', 'stat', 'touch', 'tr', 'wc']) {
        const { stdout } = await run(client, `command -v ${name}`);
        symlinkSync(stdout.trim(), join(path, name));
      }
    });
    const scp = (args: string, input: string) => run(client, `scp ${args}`, input, { env: { PATH: path } });

    it('takes files and directories, with their modes and times', async () => {
      const sent = 'T1000000000 0 1000000000 0\nC0640 3 a\nabc\0D0750 0 sub\nC0600 0 b c\n\0C0600 4 d\nde\0\n\0E\n';
      expect(await scp('-r -p -t .', sent)).to.deep.equal({
        stdout: '\0'.repeat(10),
        stderr: '',
        code: 0,
        signal: null,
      });
      // Directories have their times, too, and names may look like options.
      const dated = 'T1000000000 0 1000000000 0\nD0755 0 -dated\nC0644 1 x\nx\0E\n';
      expect((await scp('-r -p -t .', dated)).code).to.equal(0);
      expect((await run(client, 'stat -c %Y ./-dated')).stdout).to.equal('1000000000\n');
      expect((await scp('-t -- -o', 'C0644 1 -o\nx\0')).code).to.equal(0);
      expect((await scp('-f -- -o', '\0'.repeat(5))).stdout).to.equal('C0644 1 -o\nx\0');
      const { stdout } = await run(client, 'cd; cat a sub/d; stat -c "%a %Y %n" a; stat -c %a sub "sub/b c"');
      expect(stdout).to.equal('abcde\0\n640 1000000000 a\n750\n600\n');
      const large = 'x'.repeat(200_001);
      expect(await scp('-t big', `C0644 ${large.length} big\n${large}\0`)).to.include({ code: 0 });
      expect((await run(client, 'wc -c < big')).stdout.trim()).to.equal(String(large.length));
    });

    it('sends files and directories', async () => {
      await run(
        client,
        'mkdir -p dir/sub; cd dir; printf abc > a; printf "\\0" > "sub/b c"; chmod 640 a; chmod 750 . sub',
      );
      const { stdout, code } = await scp('-r -f dir', '\0'.repeat(20));
      expect([stdout, code]).to.deep.equal(['D0750 0 dir\nC0640 3 a\nabc\0D0750 0 sub\nC0644 1 b c\n\0\0E\nE\n', 0]);
      expect((await scp('-p -f dir/a', '\0'.repeat(10))).stdout).to.match(/^T\d+ 0 \d+ 0\nC0640 3 a\nabc\0$/);
    });

    it('refuses in words, and writes nothing outside', async () => {
      await run(client, "mkdir links lines; ln -s nowhere links/broken; touch 'lines/a\nb'");
      for (const [args, input, words] of [
        ['-f nope', '\0', 'nope: No such file or directory'],
        ['-f .', '\0', 'not a regular file'],
        ['-t .', 'C0644 1 ../x\nx\0', 'unexpected filename'],
        ['-r -t .', 'D0755 0 ..\nE\n', 'unexpected filename'],
        ['-t nope/x', 'C0644 1 x\nx\0', "can't be written"],
        ['-d -t nope', '', 'Not a directory'],
        ['-r -f links', '\0'.repeat(9), 'links/broken: No such file or directory'],
        ['-r -f lines', '\0'.repeat(9), "a name with a line break can't be sent"],
      ] as const) {
        const { stdout, code } = await scp(args, input);
        expect([stdout.includes(`\x01scp: `), stdout.includes(words), code]).to.deep.equal([true, true, 1]);
      }
    });
  });

  it('with scp -O, what follows a file that can not be written is never read as commands', async () => {
    await run(client, 'mkdir up; ln -s /dev/full up/full');
    const evil = `${'x'.repeat(65_536)}C0644 4 evil\nabc\n\0${'x'.repeat(100_000)}`;
    const path = join(local, 'bin');
    mkdirSync(path);
    for (const name of ['chmod', 'dd', 'tr', 'touch']) {
      symlinkSync((await run(client, `command -v ${name}`)).stdout.trim(), join(path, name));
    }
    const sent = `D0755 0 up\nC0644 ${evil.length} full\n${evil}\0E\n`;
    const { code } = await run(client, 'scp -r -t .', sent, { env: { PATH: path } });
    expect(code).not.to.equal(0);
    expect((await run(client, 'find . -name evil')).stdout).to.equal('');
  });

  it('a sandbox that has ended says so', async () => {
    const [vm] = (await ssh.get('/v1/vms')).body as { vm_id: string }[];
    await ssh.remove(`/v1/vms/${vm?.vm_id}`);
    const other = await ssh.connect(vm?.vm_id as string);
    expect(await refusal(openSftp(other))).not.to.equal('done');
  });
});

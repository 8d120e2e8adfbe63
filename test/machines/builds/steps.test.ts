import { expect } from 'chai';
import { type Caller, itHere, startApp, type TestApp } from '../../helpers/server.ts';
import { archiveOf, beginBuild, buildTemplate, endOf, step, upload } from './templates.ts';

describe('steps of templates', () => {
  let app: TestApp;
  let alice: Caller;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    app = await startApp({ machines: 'process' });
    alice = await app.addUser('alice');
  });

  /** Uploads an archive and builds a COPY of it with these arguments, then runs a command. */
  async function copied(archive: Buffer, args: string[], command: string) {
    const hash = await upload(app, alice, { templateId: 'x' }, archive);
    return buildTemplate(app, alice, [{ ...step('COPY', ...args), filesHash: hash }, step('RUN', command)]);
  }

  itHere('RUN, ENV and WORKDIR mean to those after them what they mean to Docker', async () => {
    const { build, log, text } = await buildTemplate(app, alice, [
      step('RUN', 'pwd; echo problem >&2'),
      step('ENV', 'A', "one 'two'", 'B', `$A "quoted" \`no\` $(no) \\n $\{A}`, 'PATH', '/opt/mine:$PATH'),
      step('WORKDIR', `${app.dir}/deep`),
      step('WORKDIR', 'er'),
      step('USER', 'user'),
      step('RUN', 'echo "$B"; pwd; echo "$PATH"', 'root'),
    ]);
    expect(build.status, text).to.equal('ready');
    expect(log.find(({ message }) => message === '[1] problem')).to.include({ level: 'warn', step: '1' });
    expect(text).to.include(`[6] one 'two' "quoted" \`no\` $(no) \\n one 'two'\n[6] ${app.dir}/deep/er\n`);
    expect(text).to.match(/\[6\] \/opt\/mine:.*:\/bin/);
    // Values of variables may be secrets.
    expect(text).to.include('[2/6] ENV A B PATH\n').and.not.include('ENV A one');
  });

  itHere('COPY merges directories, renames files and keeps links, modes and names', async () => {
    const dir = `${app.dir}/target`;
    const files =
      'mkdir -p src/sub && echo a > src/a.txt && echo b > src/sub/b && ln -s sub/b src/link && echo c > "src/ü x"';
    const archive = archiveOf(app.dir, files);
    const list = `cd ${dir} && find . | LC_ALL=C sort && cat a.txt && readlink link && stat -c %a sub/b`;
    const whole = await copied(archive, ['src', dir, '', '0700'], `echo old > ${dir}/a.txt.old; ${list}`);
    expect(whole.build.reason, whole.text).to.equal(null);
    const names = ['.', './a.txt', './a.txt.old', './link', './sub', './sub/b', './ü x'];
    expect(whole.text).to.include([...names, 'a', 'sub/b', '700'].map((line) => `[2] ${line}`).join('\n'));
    const merged = await copied(archive, ['src/*', `${dir}/`], `ls ${dir} && cat ${dir}/a.txt.old`);
    expect(merged.text).to.include('[2] old');
    const file = await copied(archive, ['./src/a.txt', `${app.dir}/new/name`], `cat ${app.dir}/new/name`);
    expect(file.text).to.include('[2] a');
    const inside = await copied(
      archive,
      ['src/sub/b', `${app.dir}/new/in/`],
      `cat ${app.dir}/new/in/b; ls -A ${app.dir}/new`,
    );
    expect(inside.text).to.include('[2] b\n[2] in\n[2] name\n').and.not.include('.copy');
    const home = await copied(archiveOf(app.dir, 'echo h > f', '-cf', '-', 'f'), ['.', 'there'], 'cat ~/there/f');
    expect(home.text).to.include('[2] h');
  });

  itHere('a step that fails names itself, its code and the end of what it printed', async () => {
    const long = `seq 1 2000; printf 'the end'; exit 7`;
    const cases: [ReturnType<typeof step>, RegExp][] = [
      [
        step('RUN', long),
        /^\[2\/2\] RUN seq 1 2000; printf 'the end'; exit 7 failed with exit code 7: .*\n2000\nthe end$/s,
      ],
      [
        step('RUN', 'true', 'nobody-here'),
        /^\[2\/2\] RUN true nobody-here: failed to run command 'true': .*: unauthenticated: invalid username: 'nobody-here'/,
      ],
      [step('RUN', 'kill -9 $$'), /failed with signal 9/],
      [step('ENV', 'A'), /ENV takes names and values in turn/],
      [step('ENV', 'A=B', 'c'), /ENV can't set 'A=B'/],
      [step('WORKDIR', '/dev/null/x'), /WORKDIR \/dev\/null\/x failed with exit code/],
      [step('USER', '../x'), /USER can't be '\.\.\/x'/],
      [step('COPY', 'a', 'b'), /COPY needs the hash/],
      [{ ...step('COPY', 'a', 'b'), filesHash: 'a'.repeat(64) }, /COPY needs files that were not uploaded/],
    ];
    for (const [failing, reason] of cases) {
      const { build, log } = await buildTemplate(app, alice, [step('RUN', 'true'), failing]);
      expect(build).to.include({ status: 'error', failedStep: '2' });
      expect(build.reason).to.match(reason);
      expect(log.at(-1)).to.include({ level: 'error', step: '2' });
    }
  });

  itHere('archives can neither reach outside nor end with files that are not there', async () => {
    const { db } = app.server.context.store;
    const outside = `${app.dir}/outside`;
    const evil = archiveOf(
      app.dir,
      `mkdir d && echo evil > d/f && ln -s ${app.dir} d/link`,
      '-cf',
      '-',
      '-P',
      '--transform',
      `s,^d/f,../../../../../../..${outside},`,
      'd',
    );
    const escaped = await copied(evil, ['d', `${app.dir}/new`], `ls -A ${app.dir}`);
    expect(escaped.text).to.not.include('] outside');
    const absent = await copied(archiveOf(app.dir, 'echo a > a'), ['b', 'c'], 'true');
    expect(absent.build.reason).to.match(/COPY b c failed with exit code 1: the archive of this step has no b$/);
    for (const source of ['../a', '/etc/passwd', 'a/../../b']) {
      const refused = await copied(archiveOf(app.dir, 'echo a > a'), [source, 'c'], 'true');
      expect(refused.build.reason).to.match(/it is outside/);
    }
    const cut = archiveOf(app.dir, 'seq 1 100000 > a').subarray(0, 20_000);
    expect((await copied(cut, ['a', 'c'], 'true')).build.reason).to.match(/COPY a c failed with exit code/);
    const builds = await db.selectFrom('machines').select('sandbox_id').execute();
    expect(builds.length).to.be.lessThan(2);
  });

  itHere('endless output fills the log and no more, and long lines are cut', async () => {
    const build = await beginBuild(app, alice, [
      step('RUN', "head -c 100000 /dev/zero | tr '\\0' x; echo; yes 'a line of the endless output' | head -c 3000000"),
      step('RUN', 'echo after'),
    ]);
    const { log, build: ended } = await endOf(app, build);
    expect(ended.status).to.equal('ready');
    expect(log.length).to.be.within(4_000, 5_010);
    expect(Math.max(...log.map(({ message }) => message.length))).to.be.at.most(4_096);
    expect(log.at(-1)?.message).to.match(/is full/);
  });
});

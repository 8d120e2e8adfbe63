import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { examine, type Finding } from '../../db/sqlite/doctor/doctor.ts';
import { repair } from '../../db/sqlite/doctor/repair.ts';
import { openUnmigrated } from '../../db/sqlite/open.ts';
import { sandpit, serve } from '../helpers/processes/process.ts';
import { type Caller, startApp, temporaryDirectory } from '../helpers/server.ts';

describe('sandpit doctor', () => {
  let db: string;
  let alice: Caller;
  beforeEach(async () => {
    const app = await startApp();
    alice = await app.addUser('alice');
    for (let n = 0; n < 10; n++) await app.insert(alice, { id: `s${n}`, metadata: { n, deep: [{ n }] } });
    await app.close();
    db = app.server.context.config.db;
  });

  const doctor = async (...args: string[]) => {
    const { code, stdout, stderr } = await sandpit(['doctor', '--json', ...args, '--db', db]);
    const findings: Finding[] = JSON.parse(stdout);
    const wrong = findings.filter(({ problems }) => problems.length > 0).map(({ check }) => check);
    expect(code, stderr).to.equal(wrong.length > 0 ? 1 : 0);
    return { wrong, stderr, findings };
  };
  const spoil = (sql: string) => {
    const sqlite = new Database(db);
    sqlite.pragma('foreign_keys = off');
    sqlite.unsafeMode(true);
    sqlite.exec(sql).close();
  };

  it('says with --machines what it tried, and how to get an engine, and forgets what the server has found', async () => {
    const remembered = join(dirname(db), 'microvms-0123456789abcdef', 'trial.json');
    mkdirSync(dirname(remembered));
    writeFileSync(remembered, '{}');
    const { code, stdout, stderr } = await sandpit([
      'doctor',
      '--machines',
      '--msb',
      '/missing/msb',
      '--engine',
      'unix:///missing.sock',
      '--db',
      db,
    ]);
    expect(code).to.equal(1);
    expect(stdout).to.match(
      /^engine: +WRONG, no container engine answers; unix:\/\/\/missing\.sock: there is no such socket; /m,
    );
    expect(stdout).to.match(/^microvm: +WRONG, .*(kvm|msb|Mac|Linux)/);
    expect(stdout).to.match(/^auto: +ok, it would be none$/m);
    expect(stdout).to.include('systemctl start docker');
    expect(stderr).to.match(/^sandpit: engine: .+\n$/);
    expect(existsSync(remembered)).to.equal(false);
  });

  it('prints a line for each check while a server runs', async () => {
    const server = await serve(['--db', db]);
    const { code, stdout } = await sandpit(['doctor', '--db', db]);
    await server.stop();
    expect(code).to.equal(0);
    expect(stdout.trim().split('\n')).to.have.length(8);
    for (const line of stdout.trim().split('\n')) expect(line).to.match(/^[a-z ]+: +ok, /);
  });

  it('finds damage to derived data, and --repair rebuilds it', async () => {
    const spoiled: [string, string, RegExp][] = [
      ['metadata index', "update sandbox_metadata set members = x'0500' where rowid_of_one", /is wrong/],
      ['metadata index', "insert into sandbox_metadata values (x'00', 0, x'0000')", /belong to no sandbox/],
      ['metadata index', 'delete from sandbox_metadata', /is wrong/],
      ['ordinals', 'update sandboxes set started_at = started_at + 5 where position % 2 = 0', /5 ms out of order/],
      ['schema', 'drop index sandboxes_due', /index sandboxes_due is missing/],
    ];
    for (const [check, sql, problem] of spoiled) {
      spoil(sql.replace('rowid_of_one', 'pair = (select min(pair) from sandbox_metadata)'));
      const store = openUnmigrated(db);
      const findings = await examine(store);
      expect(findings.filter(({ problems }) => problems.length > 0).map((finding) => finding.check)).to.deep.equal([
        check,
      ]);
      expect(findings.find((finding) => finding.check === check)?.problems.join()).to.match(problem);
      expect(await repair(store, findings)).to.have.length(1);
      expect((await examine(store)).flatMap(({ problems }) => problems)).to.deep.equal([]);
      await store.close();
    }
  });

  it('exits with 1 and names --repair', async () => {
    spoil('delete from sandbox_metadata');
    const { wrong, stderr } = await doctor();
    expect(wrong).to.deep.equal(['metadata index']);
    expect(stderr).to.contain('--repair');
    expect((await doctor('--repair')).wrong).to.deep.equal([]);
  });

  it("rebuilds SQLite's own indexes", async () => {
    const pretend = (from: string, to: string) =>
      spoil(`
        pragma writable_schema = on;
        update sqlite_schema set sql = replace(sql, '${from}', '${to}') where name = 'api_keys_by_user';
      `);
    pretend('(user_id)', '(created_at)');
    spoil(`insert into api_keys (user_id, name, prefix, secret_hash, created_at) values (1, '', '', x'', 0)`);
    pretend('(created_at)', '(user_id)');
    expect((await doctor()).wrong).to.deep.equal(['integrity']);
    expect((await doctor('--repair')).wrong).to.deep.equal([]);
  });

  it('rewrites a database of an earlier version so that it can shrink', async () => {
    spoil('pragma journal_mode = delete; pragma auto_vacuum = none; vacuum');
    const note = async () => (await doctor()).findings.find(({ check }) => check === 'space')?.note;
    expect(await note()).to.contain('can never shrink');
    expect((await doctor('--repair')).stderr).to.contain('rewrote the file');
    expect(await note()).to.match(/^\d+ of \d+ pages are free$/);
  });

  it('reports what it cannot repair', async () => {
    spoil(`insert into api_keys (user_id, name, prefix, secret_hash, created_at) values (99, '', '', x'', 0)`);
    spoil('create table stray (id integer)');
    spoil("update migrations set name = 'other' where id = 1");
    expect((await doctor()).wrong).to.deep.equal(['foreign keys', 'migrations', 'schema']);
    const { wrong, stderr } = await doctor('--repair');
    expect(wrong).to.deep.equal(['foreign keys', 'migrations', 'schema']);
    expect(stderr).to.contain("can't be repaired");
  });

  it('does not migrate an earlier version, and says that the next start will', async () => {
    spoil('delete from migrations where id > 1');
    const { wrong, findings } = await doctor();
    // What the later migrations made is there all the same.
    expect(wrong).to.deep.equal(['schema']);
    const { note } = findings.find(({ check }) => check === 'migrations') ?? {};
    expect(note).to.match(/^the next start of the server applies \d+$/);
  });

  it('finds invalid events', async () => {
    spoil("update events set details = '[]' where seq = 1; update events set kind = 'vm.born' where seq = 2");
    spoil("update sqlite_sequence set seq = 1 where name = 'events'");
    const { wrong, findings } = await doctor();
    expect(wrong).to.deep.equal(['events']);
    const { problems } = findings.find(({ check }) => check === 'events') ?? {};
    // The executable has recorded its first user as well.
    expect(problems?.join()).to.match(/^\d+ are after .*,2 have an unknown kind/);
  });

  it('does not create a database', async () => {
    const { code, stderr } = await sandpit(['doctor', '--db', join(temporaryDirectory(), 'none.db')]);
    expect(code).to.equal(1);
    expect(stderr).to.contain('there is no database');
  });
});

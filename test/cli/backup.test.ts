import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { restore } from '../../db/sqlite/copies/restore.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { program, sandpit, serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const [file = '', ...first] = program;

const key = `e2b_${'5'.repeat(40)}`;
const env = { SANDPIT_API_KEY: key };

describe('backup and restore', () => {
  let dir: string;
  let db: string;
  let copy: string;
  beforeEach(() => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
    copy = join(dir, 'copy');
  });

  const run = (...args: string[]) => sandpit([...args, '--db', db]);
  const runs = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const fails = async (...args: string[]) => {
    const { code, stderr } = await run(...args);
    expect(code).to.equal(1);
    expect(stderr).to.match(/^sandpit: .+\n$/);
    return stderr;
  };
  const refusalOf = async (file: string) => {
    const copying = { force: true, stop: new AbortController().signal, onProgress: () => {} };
    try {
      await restore(file, db, copying);
      return 'restored';
    } catch (error) {
      return String(error);
    }
  };
  it('continues the event log after its last sequence number, so that no number names two events', async () => {
    const place = () => {
      const sqlite = new Database(db, { readonly: true });
      const { seq, last } = sqlite
        .prepare("select seq, (select max(seq) from events) as last from sqlite_sequence where name = 'events'")
        .get() as { seq: number; last: number };
      sqlite.close();
      return [seq, last];
    };
    await make('alice');
    await runs('keys', 'create', '--user', 'alice');
    await runs('backup', copy);
    const [before] = place();
    for (let n = 0; n < 2; n++) await runs('keys', 'create', '--user', 'alice');
    const [end] = place();
    await runs('restore', copy, '--force');
    expect(place()).to.deep.equal([end, before]);
    await runs('keys', 'create', '--user', 'alice');
    expect(place()).to.deep.equal([(end ?? 0) + 1, (end ?? 0) + 1]);
    expect(await runs('doctor')).not.to.contain('WRONG');
  });

  const userNames = async () =>
    JSON.parse(await runs('users', 'list', '--json')).map(({ name }: { name: string }) => name);
  /** Creates a database of this size in MiB, with one user. */
  const make = async (user: string, size = 0, file = db) => {
    const store = openStore(file);
    const { lastInsertRowid: id } = store.sqlite
      .prepare('insert into users (name, created_at) values (?, 0)')
      .run(user);
    const insert = store.sqlite.prepare(
      `insert into sandboxes (position, id, owner_id, metadata, env, memory_mb, vcpu_count, started_at, status)
       values (?, ?, ?, '{}', ?, 1, 1, 0, 'killed')`,
    );
    store.sqlite.transaction(() => {
      for (let n = 0; n < size; n++) insert.run(Number(id) * 2 ** 32 + n, `${user}-${n}`, id, 'x'.repeat(2 ** 20));
    })();
    await store.close();
  };

  it('a backup of a live database has every sandbox acknowledged before it, and is intact', async () => {
    const server = await serve(['--db', db], { env });
    const acknowledged: string[] = [];
    let isOver = false;
    const create = async () => {
      while (!isOver) {
        const response = await fetch(`${server.url}/v1/vms`, { method: 'POST', headers: { 'X-API-Key': key } });
        expect(response.status).to.equal(201);
        acknowledged.push(((await response.json()) as { vm_id: string }).vm_id);
      }
    };
    const clients = [create(), create(), create()];
    while (acknowledged.length < 100) await delay(5);
    const before = [...acknowledged];
    expect(await runs('backup', copy)).to.equal('');
    isOver = true;
    await Promise.all(clients);
    expect(acknowledged.length).to.be.above(before.length);
    await server.stop();
    expect(statSync(copy).mode & 0o777).to.equal(0o600);
    expect(readdirSync(dir).sort()).to.deep.equal(['copy', 'sandpit.db']);
    await runs('restore', copy, '--force');
    const there = new Set([...(await runs('export')).matchAll(/"sandbox_id":"(\w+)"/g)].map(([, id]) => id));
    expect(before.filter((id) => !there.has(id))).to.deep.equal([]);
    await runs('doctor');
  });

  it('a backup replaces a file only with --force, and never the database', async () => {
    await make('alice');
    writeFileSync(copy, 'precious');
    expect(await fails('backup', copy)).to.contain('exists already: --force replaces it');
    expect(readFileSync(copy, 'utf8')).to.equal('precious');
    await runs('backup', copy, '--force');
    expect(await fails('backup', db, '--force')).to.contain('is the database itself');
    expect(await fails('backup', join(dir, 'missing', 'copy'))).to.contain("can't write the backup");
    expect(readdirSync(dir).sort()).to.deep.equal(['copy', 'sandpit.db']);
  });

  it('backup and restore work with files, never with a standard stream', async () => {
    await make('alice');
    const refusal = async (command: string) => {
      const { code, stdout, stderr } = await sandpit([command, '-', '--force', '--db', db], { cwd: dir });
      expect([code, stdout]).to.deep.equal([1, '']);
      return stderr;
    };
    expect(await refusal('backup')).to.contain("can't be written to standard output");
    await runs('backup', join(dir, '-'));
    expect(await refusal('restore')).to.contain("can't be read from standard input");
    expect(readdirSync(dir).sort()).to.deep.equal(['-', 'sandpit.db']);
    expect(await userNames()).to.deep.equal(['alice']);
  });

  it('a backup keeps the schema of an earlier version', async () => {
    await make('alice');
    const earlier = new Database(db);
    earlier.exec('delete from migrations where id > 1');
    await runs('backup', copy);
    expect(new Database(copy).prepare('select max(id) from migrations').pluck().get()).to.equal(1);
    earlier.close();
  });

  it('an interrupted backup leaves no file behind', async () => {
    await make('alice', 100);
    for (const args of [
      ['backup', copy],
      ['restore', copy, '--force'],
    ]) {
      if (args[0] === 'restore') await runs('backup', copy);
      const there = readdirSync(dir).length;
      const child = spawn(file, [...first, ...args, '--db', db]);
      while (!readdirSync(dir).some((name) => name.includes('.partial'))) await nextTurn();
      child.kill('SIGINT');
      expect(await once(child, 'close')).to.deep.equal([130, null]);
      expect(readdirSync(dir)).to.have.length(there);
    }
    expect(await userNames()).to.deep.equal(['alice']);
  });

  it('restores to a missing database and over files left by a crash', async () => {
    await make('alice');
    await runs('backup', copy);
    await sandpit(['restore', copy, '--db', join(dir, 'other.db')]);
    expect(statSync(join(dir, 'other.db')).mode & 0o777).to.equal(0o600);
    await make('bob', 1);
    const log = new Database(db);
    log.exec("insert into users (name, created_at) values ('carol', 0)");
    const wal = readFileSync(`${db}-wal`);
    log.close();
    writeFileSync(`${db}-wal`, wal);
    expect(await fails('restore', copy)).to.contain('exists already: --force replaces it');
    await runs('restore', copy, '--force');
    expect(await userNames()).to.deep.equal(['alice']);
    await runs('doctor');
    expect(readdirSync(dir).sort()).to.deep.equal(['copy', 'other.db', 'sandpit.db']);
  });

  it('refuses to restore while a server has the database open', async () => {
    await make('alice');
    await runs('backup', copy);
    const server = await serve(['--db', db]);
    expect(await fails('restore', copy, '--force')).to.contain('in use by a server or another command: stop it first');
    expect((await fetch(`${server.url}/health`)).status).to.equal(200);
    await server.stop();
    await runs('restore', copy, '--force');
  });

  it('refuses a backup that is truncated, damaged, foreign, newer, missing or the database itself, and changes nothing', async () => {
    await make('alice', 1);
    await runs('backup', copy);
    const bad: [string, (file: string) => void, string][] = [
      ['truncated', (file) => truncateSync(file, statSync(file).size - 8192), 'malformed'],
      ['short', (file) => truncateSync(file, 50), 'malformed'],
      ['empty', (file) => truncateSync(file, 0), 'it is empty'],
      ['damaged', (file) => damage(file), 'damaged'],
      ['text', (file) => writeFileSync(file, 'Dear diary, '.repeat(100)), 'not a SQLite database'],
      ['newer', (file) => exec(file, "insert into migrations values (99, 'future', '2030-01-01')"), 'a newer Sandpit'],
      ['foreign', (file) => exec(file, 'pragma application_id = 7'), "another program's database"],
    ];
    const before = readFileSync(db);
    for (const [name, spoil, reason] of bad) {
      const file = join(dir, name);
      writeFileSync(file, readFileSync(copy));
      spoil(file);
      expect(await refusalOf(file), name).to.contain(reason);
    }
    expect(await refusalOf(join(dir, 'missing'))).to.contain('there is no file');
    expect(await refusalOf(db)).to.contain('is the database itself');
    expect(await fails('restore', join(dir, 'damaged'), '--force')).to.contain('damaged');
    expect(readFileSync(db).equals(before)).to.equal(true);
    expect(readdirSync(dir).filter((name) => name.includes('partial'))).to.deep.equal([]);
  });

  it("does not replace another program's database or a file that is not a database", async () => {
    await make('alice');
    await runs('backup', copy);
    const other = join(dir, 'other');
    new Database(other).exec('create table theirs (id integer)').close();
    const text = join(dir, 'text');
    writeFileSync(text, 'Dear diary, '.repeat(100));
    for (const file of [other, text]) {
      const before = readFileSync(file);
      const { code, stderr } = await sandpit(['restore', copy, '--force', '--db', file]);
      expect(code, stderr).to.equal(1);
      expect(readFileSync(file).equals(before)).to.equal(true);
    }
  });

  it('a restore killed at any moment leaves the old database or the new one', async () => {
    await make('new', 20, copy);
    for (const milliseconds of [0, 20, 60]) {
      if (!existsSync(db)) await make('old', 20);
      const child = spawn(file, [...first, 'restore', copy, '--force', '--db', db]);
      const closed = once(child, 'close');
      while (!readdirSync(dir).some((name) => name.includes('.partial')) && child.exitCode === null) await nextTurn();
      await delay(milliseconds);
      child.kill('SIGKILL');
      await closed;
      expect((await userNames()).join()).to.be.oneOf(['old', 'new']);
    }
  });
});

function exec(file: string, sql: string): void {
  new Database(file).exec(sql).close();
}

/** Overwrites a page in the middle of the file. */
function damage(file: string): void {
  const content = readFileSync(file);
  writeFileSync(file, content.fill(0xff, 3 * 4096, 4 * 4096));
}

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { StoreError } from '../../db/errors.ts';
import { migrate, migrations } from '../../db/sqlite/migrations/migrate.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { startApp, temporaryDirectory } from '../helpers/server.ts';

const schemaOf = (sqlite: Database.Database) =>
  (
    sqlite
      .prepare("select sql from sqlite_master where name not like 'sqlite_%' order by name")
      .pluck()
      .all() as string[]
  )
    .map((sql) => `${sql.replace(/\s+/g, ' ')};\n`)
    .join('');

describe('opening the store', () => {
  const fileIn = (name = 'sandpit.db') => join(temporaryDirectory(), name);

  it('migrates a new file to the committed schema', async () => {
    const store = openStore(fileIn());
    expect(schemaOf(store.sqlite)).to.equal(readFileSync(new URL('schema.sql', import.meta.url), 'utf8'));
    await store.close();
  });

  it('reopens the file without changes', async () => {
    const file = fileIn();
    await openStore(file).close();
    const store = openStore(file);
    const applied = store.sqlite.prepare('select id, name from migrations').all();
    expect(applied).to.deep.equal(migrations.map(({ id, name }) => ({ id, name })));
    await store.close();
  });

  it('syncs every commit, keeps a write-ahead log and checks foreign keys', async () => {
    const { sqlite, close } = openStore(fileIn());
    const pragma = (name: string) => sqlite.pragma(name, { simple: true });
    expect([pragma('journal_mode'), pragma('synchronous'), pragma('foreign_keys')]).to.deep.equal(['wal', 2, 1]);
    await close();
  });

  it('creates files that only this user can read', async () => {
    const file = fileIn();
    const store = openStore(file);
    store.sqlite.exec("insert into users (name, created_at) values ('alice', 0)");
    for (const name of [file, `${file}-wal`, `${file}-shm`]) expect(statSync(name).mode & 0o777, name).to.equal(0o600);
    await store.close();
  });

  it('applies a migration completely or not at all', () => {
    const sqlite = new Database(fileIn());
    const last = migrations.at(-1)?.id ?? 0;
    const sql = 'create table half (id integer); create table half (id integer);';
    expect(() => migrate(sqlite, [...migrations, { id: last + 1, name: 'broken', sql }])).to.throw('already exists');
    expect(schemaOf(sqlite)).not.to.contain('half');
    expect(sqlite.prepare('select max(id) from migrations').pluck().get()).to.equal(last);
    migrate(sqlite);
    sqlite.close();
  });

  describe('before a migration that rewrites data', () => {
    const next = (migrations.at(-1)?.id ?? 0) + 1;
    const renaming = { id: next, name: 'renaming', sql: "update users set name = 'bob'", rewrites: true };
    const opened = (user: boolean, name?: string) => {
      const sqlite = new Database(fileIn(name));
      migrate(sqlite);
      sqlite.pragma('journal_mode = wal');
      if (user) sqlite.exec("insert into users (name, created_at) values ('alice', 0)");
      return sqlite;
    };
    const namesIn = (file: string) => new Database(file).prepare('select name from users').pluck().all();

    it('makes one copy of the database', () => {
      const sqlite = opened(true);
      const copy = `${sqlite.name}.before-${next}`;
      expect(migrate(sqlite, [...migrations, renaming])).to.deep.equal([copy]);
      expect(statSync(copy).mode & 0o777).to.equal(0o600);
      expect([namesIn(copy), namesIn(sqlite.name)]).to.deep.equal([['alice'], ['bob']]);
      expect(migrate(sqlite, [...migrations, renaming])).to.deep.equal([]);
    });

    it('keeps the copy of an earlier upgrade', () => {
      const sqlite = opened(true);
      mkdirSync(`${sqlite.name}.before-${next}`);
      expect(migrate(sqlite, [...migrations, renaming])).to.deep.equal([`${sqlite.name}.before-${next}-2`]);
    });

    it('makes no copy of an empty database, or before a migration that only adds', () => {
      expect(migrate(opened(false), [...migrations, renaming])).to.deep.equal([]);
      expect(migrate(opened(true), [...migrations, { ...renaming, rewrites: false }])).to.deep.equal([]);
    });

    it('changes nothing if the copy cannot be made', () => {
      // The longest possible name: room for the suffix -wal, but not for the copy's.
      const sqlite = opened(true, 'x'.repeat(240));
      expect(() => migrate(sqlite, [...migrations, renaming])).to.throw(StoreError, "can't make the backup");
      expect(namesIn(sqlite.name)).to.deep.equal(['alice']);
      expect(readdirSync(dirname(sqlite.name)).filter((name) => name.includes('partial'))).to.deep.equal([]);
    });
  });

  describe('refuses without changing it', () => {
    const refused = (file: string) => {
      const before = existsSync(file) ? readFileSync(file) : null;
      let message = '';
      try {
        openStore(file);
      } catch (error) {
        expect(error).to.be.instanceOf(StoreError);
        message = (error as Error).message;
      }
      expect(existsSync(file) ? readFileSync(file) : null).to.deep.equal(before);
      return message;
    };

    it('a database from a newer version', async () => {
      const file = fileIn();
      const { sqlite, close } = openStore(file);
      sqlite.prepare("insert into migrations values (99, 'future', '2030-01-01')").run();
      await close();
      expect(refused(file)).to.contain('comes from a newer Sandpit (schema 99');
    });

    it("another program's database", () => {
      const file = fileIn();
      new Database(file).exec('create table theirs (id integer)').close();
      expect(refused(file)).to.contain("is another program's database");
    });

    it('a file that is not a database', () => {
      const file = fileIn();
      writeFileSync(file, 'Dear diary, '.repeat(100));
      expect(refused(file)).to.contain('the file is not a SQLite database');
    });

    it('a folder, and a path in a missing folder', () => {
      expect(refused(join(fileIn(), 'missing', 'sandpit.db'))).to.contain('its folder does not exist');
      const store = temporaryDirectory();
      expect(() => openStore(store)).to.throw(StoreError, "can't open the database");
    });
  });

  it("a write waits for another process's write; reads continue", async () => {
    const app = await startApp();
    const { store, config } = app.server.context;
    const other = new Database(config.db);
    other.exec('begin immediate');
    let isWritten = false;
    const writing = inTransaction(store.db, async (trx) => {
      await trx.insertInto('users').values({ name: 'late', password_hash: null, created_at: 0 }).execute();
      isWritten = true;
    });
    expect((await app.http.get('/health')).status).to.equal(200);
    expect(isWritten).to.equal(false);
    other.exec('commit');
    other.close();
    await writing;
    expect(isWritten).to.equal(true);
  });
});

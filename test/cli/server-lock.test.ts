import { copyFileSync, linkSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { commandsOn, importLine } from '../helpers/processes/commands.ts';
import { sandpit, serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('one server per database', () => {
  let dir: string;
  let db: string;
  beforeEach(() => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
  });

  const { runs } = commandsOn(() => db);
  const start = (file = db) => serve(['--db', file]);
  const refusalOf = async (file: string) => (await sandpit(['serve', '--port', '0', '--db', file])).stderr;

  it('refuses a second server under any name of the file, and names the first, which continues', async () => {
    const server = await start();
    symlinkSync(db, join(dir, 'link.db'));
    symlinkSync(dir, join(dir, 'folder'));
    for (const name of [db, join(dir, 'link.db'), join(dir, 'folder', 'sandpit.db')]) {
      const message = `sandpit: ${name} is in use by another server (process ${server.pid}): `;
      expect(await refusalOf(name)).to.satisfy((text: string) => text.startsWith(message));
    }
    mkdirSync(join(dir, 'other'));
    linkSync(db, join(dir, 'other', 'hard.db'));
    expect(await refusalOf(join(dir, 'other', 'hard.db'))).to.contain('is in use under another name');
    expect(readdirSync(join(dir, 'other'))).to.deep.equal(['hard.db']);
    expect((await fetch(`${server.url}/health`)).status).to.equal(200);
    expect(await server.stop()).to.equal(0);
    expect(readdirSync(dir).sort()).to.deep.equal(['folder', 'link.db', 'other', 'sandpit.db']);
  });

  it('a killed server holds no lock, and other commands work beside a running one', async () => {
    const killed = await start();
    await killed.stop('SIGKILL');
    const server = await start();
    await runs('users', 'create', 'alice');
    await runs('keys', 'create', '--user', 'alice');
    expect((await sandpit(['import', '-', '--db', db], { input: importLine() })).code).to.equal(0);
    for (const args of [['export'], ['backup', join(dir, 'copy')], ['doctor'], ['kill', '--all', '--yes']])
      await runs(...args);
    expect(await refusalOf(db)).to.contain(`(process ${server.pid})`);
    await server.stop();
  });

  it('exactly one of several simultaneous starts succeeds', async () => {
    for (let round = 0; round < 3; round++) {
      const all = await Promise.allSettled([start(), start(), start()]);
      const running = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(running).to.have.length(1);
      await running[0]?.stop(round === 1 ? 'SIGKILL' : 'SIGTERM');
    }
  });

  describe('a copy of the database file', () => {
    const restored = (file: string, ...args: string[]) =>
      sandpit(['restore', file, '--db', join(temporaryDirectory(), 'restored.db'), ...args]);
    const copyTo = (name: string, ...suffixes: string[]) => {
      const copy = join(dir, name);
      for (const suffix of ['', ...suffixes]) copyFileSync(`${db}${suffix}`, `${copy}${suffix}`);
      return copy;
    };

    it('without the write-ahead log it is restored only with --force, and served with a warning', async () => {
      const server = await start();
      await runs('users', 'create', 'alice');
      const [alone, whole] = [copyTo('alone.db'), copyTo('whole.db', '-wal')];
      await runs('backup', join(dir, 'backup.db'));
      await server.stop('SIGKILL');
      const killed = copyTo('killed.db');
      for (const file of [alone, killed]) {
        const { code, stderr } = await restored(file);
        expect(code).to.equal(1);
        expect(stderr).to.contain(`${file}-wal is not beside it`).and.contain('--without-log');
        expect(await restored(file, '--without-log')).to.include({ code: 0 });
      }
      for (let times = 0; times < 2; times++) expect(await restored(whole)).to.include({ code: 0 });
      expect(await restored(join(dir, 'backup.db'))).to.include({ code: 0 });
      const served = await start(alone);
      expect(served.output.stderr).to.contain('Warning: the last server did not close').and.contain('alone.db-wal');
      await served.stop();
    });

    it("is complete after the server has stopped, or after a command has recovered a killed server's log", async () => {
      const server = await start();
      await server.stop();
      expect(await restored(copyTo('stopped.db'))).to.include({ code: 0 });
      await (await start()).stop('SIGKILL');
      await runs('users', 'list');
      expect(await restored(copyTo('settled.db'))).to.include({ code: 0 });
      const again = await start();
      expect(again.output.stderr).not.to.contain('Warning: the last');
      await again.stop('SIGKILL');
      const last = await start();
      expect(last.output.stderr).not.to.contain('Warning: the last');
      await last.stop();
    });
  });
});

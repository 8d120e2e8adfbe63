import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { temporaryDirectory } from './helpers.ts';
import { sandpit, serve } from './process.ts';

const givenKey = `e2b_${'5'.repeat(40)}`;

describe('sandpit', () => {
  let db: string;
  let dir: string;
  beforeEach(() => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
  });

  const run = (...args: string[]) => sandpit([...args, '--db', db]);
  const runs = async (...args: string[]) => {
    const result = await run(...args);
    expect(result.code, result.stderr).to.equal(0);
    return result.stdout;
  };
  const fails = async (...args: string[]) => {
    const result = await run(...args);
    expect(result.code).to.equal(1);
    expect(result.stderr).to.match(/^sandpit: .+\n$/);
    return result.stderr;
  };

  describe('serve', () => {
    it('makes the first key of a new database, shows it once with a line that works, and never again', async () => {
      const first = await serve(['--db', db]);
      const [, line] = /(curl .*)\n/.exec(first.output.stderr) ?? [];
      const [, key, url] = /'X-API-Key: (e2b_[0-9a-f]{40})' (\S+)/.exec(line ?? '') ?? [];
      expect(await (await fetch(url as string, { headers: { 'X-API-Key': key as string } })).json()).to.deep.equal([]);
      expect(await first.stop()).to.equal(0);
      const second = await serve(['--db', db]);
      expect(second.output.stderr).not.to.contain('e2b_');
      const response = await fetch(`${second.url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': key as string } });
      expect(response.status).to.equal(200);
      await second.stop();
      for (const output of [first.output, second.output]) expect(output.stdout).not.to.contain(key);
    });

    it('marks expired sandboxes as killed by itself', async () => {
      await runs('users', 'create', 'alice');
      writeFileSync(join(dir, 'one.jsonl'), line());
      await runs('import', join(dir, 'one.jsonl'));
      const store = new Database(db);
      const status = () => store.prepare('select status from sandboxes').pluck().get();
      expect(status()).to.equal('active');
      const server = await serve(['--db', db, '--sweep-seconds', '1']);
      while (status() === 'active') await fetch(`${server.url}/health`);
      store.close();
      await server.stop();
    });

    it('takes the first key from SANDPIT_API_KEY', async () => {
      const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
      const response = await fetch(`${server.url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': givenKey } });
      expect(response.status).to.equal(200);
      expect(server.output.stderr).not.to.contain(givenKey);
      await server.stop();
    });

    it('says where it can make no database', async () => {
      const missing = join(dir, 'missing', 'sandpit.db');
      const { code, stderr } = await sandpit(['serve', '--db', missing]);
      expect(code).to.equal(1);
      expect(stderr).to.equal(`sandpit: can't open the database ${missing}: its folder does not exist\n`);
    });

    it('loses no first key to a port that is in use', async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => other.once('listening', resolve));
      await fails('serve', '--port', String((other.address() as { port: number }).port));
      other.close();
      const server = await serve(['--db', db]);
      expect(server.output.stderr).to.match(/e2b_[0-9a-f]{40}/);
      await server.stop();
    });

    it('stops at once for connections that ask nothing, and answers the request under way', async () => {
      const server = await serve(['--db', db, '--shutdown-seconds', '15'], { env: { SANDPIT_API_KEY: givenKey } });
      const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
      await new Promise((resolve) => silent.once('connect', resolve));
      const lock = new Database(db);
      lock.exec('begin immediate');
      const created = fetch(`${server.url}/v1/vms`, { method: 'POST', headers: { 'X-API-Key': givenKey } });
      await fetch(`${server.url}/health`);
      const stopped = server.stop();
      await new Promise((resolve) => silent.once('close', resolve));
      lock.exec('commit');
      lock.close();
      expect((await created).status).to.equal(201);
      expect(await stopped).to.equal(0);
    }).timeout(10_000);

    it('stops on SIGTERM and on SIGINT, and what was created is there afterwards', async () => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
        const headers = { 'X-API-Key': givenKey };
        await fetch(`${server.url}/v1/vms`, { method: 'POST', headers });
        expect(await server.stop(signal)).to.equal(0);
      }
      expect((await runs('export')).trim().split('\n')).to.have.length(2);
      expect(readdirSync(dir)).to.deep.equal(['sandpit.db']);
    });

    it('does not start with a bad value, and names the variable', async () => {
      const { code, stderr } = await sandpit(['serve'], { env: { SANDPIT_PORT: 'http', SANDPIT_DB: db } });
      expect(code).to.equal(1);
      expect(stderr).to.equal("sandpit: SANDPIT_PORT must be a whole number from 0 to 65535, not 'http'\n");
      expect(readdirSync(dir)).to.deep.equal([]);
    });

    it('says in one line that the port is taken, or what is wrong with the database', async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => other.once('listening', resolve));
      const { port } = other.address() as { port: number };
      expect(await fails('serve', '--port', String(port))).to.contain(`127.0.0.1:${port} is in use`);
      other.close();
      writeFileSync(db, 'not a database, '.repeat(100));
      expect(await fails('serve')).to.contain('not a SQLite database');
    });
  });

  it('--help and --version touch no database', async () => {
    for (const args of [['--help'], ['serve', '--help'], ['keys', 'create', '--help'], ['--version']]) {
      const { code, stdout } = await sandpit(args, { cwd: dir });
      expect(code).to.equal(0);
      expect(stdout).not.to.equal('');
    }
    expect(readdirSync(dir)).to.deep.equal([]);
  });

  it('openapi prints the contract', async () => {
    const yaml = readFileSync(new URL('../openapi.yaml', import.meta.url), 'utf8');
    expect((await sandpit(['openapi'])).stdout).to.equal(yaml);
    expect(JSON.parse((await sandpit(['openapi', '--json'])).stdout).info.title).to.equal('Sandpit');
  });

  it('users and keys work while the server runs, and count at once', async () => {
    const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
    await sandpit(['users', 'create', 'alice', '--password', '--db', db], { input: 'correct horse\n' });
    const key = (await runs('keys', 'create', '--user', 'alice', '--name', 'laptop')).trim();
    const status = async () =>
      (await fetch(`${server.url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': key } })).status;
    expect(await status()).to.equal(200);
    expect(await runs('keys', 'list')).to.match(/PREFIX +NAME +USER +CREATED.*\n.*admin.*\n.*laptop +alice/);
    const [row] = JSON.parse(await runs('keys', 'list', '--user', 'alice', '--json'));
    expect(row).to.include({ prefix: key.slice(0, 16), name: 'laptop', owner: 'alice', revokedAt: null });
    await runs('keys', 'revoke', row.prefix);
    expect(await status()).to.equal(401);

    const login = async (password: string) => {
      const body = new URLSearchParams({ username: 'alice', password });
      return (await fetch(`${server.url}/v1/auth/token`, { method: 'POST', body })).status;
    };
    expect(await login('correct horse')).to.equal(200);
    await sandpit(['users', 'passwd', 'alice', '--db', db], { input: 'another horse\n' });
    expect([await login('correct horse'), await login('another horse')]).to.deep.equal([401, 200]);
    const users = JSON.parse(await runs('users', 'list', '--json'));
    expect(users.map((user: { name: string }) => user.name)).to.deep.equal(['admin', 'alice']);
    await runs('users', 'delete', 'alice');
    expect(await runs('users', 'list')).not.to.contain('alice');
    await server.stop();
  });

  it('says what was wrong: a name taken or unknown, a password too short, a user with sandboxes', async () => {
    await runs('users', 'create', 'alice');
    expect(await fails('users', 'create', 'alice')).to.contain('exists already');
    expect(await fails('users', 'create', 'a b')).to.contain('a user name is');
    expect(await fails('keys', 'create', '--user', 'bob')).to.contain('there is no user named bob');
    const key = (await runs('keys', 'create', '--user', 'alice')).trim();
    expect(await fails('keys', 'revoke', `${key.slice(0, 20)}${'0'.repeat(24)}`)).to.contain(
      'there is no such API key',
    );
    expect(await runs('keys', 'revoke', key)).to.equal(`Revoked ${key.slice(0, 16)}.\n`);
    expect((await sandpit(['export', '--db', join(dir, 'typo.db')])).stderr).to.contain('there is no database');
    expect(readdirSync(dir)).to.deep.equal(['sandpit.db']);
    expect(await fails('keys', 'revoke', 'e2b_123')).to.contain('there is no such API key');
    const short = await sandpit(['users', 'passwd', 'alice', '--db', db], { input: 'short' });
    expect(short).to.include({ code: 1, stderr: 'sandpit: a password has at least 8 characters\n' });
    const file = join(dir, 'one.jsonl');
    writeFileSync(file, line());
    await runs('import', file);
    expect(await fails('users', 'delete', 'alice')).to.contain('--with-sandboxes');
    await runs('users', 'delete', 'alice', '--with-sandboxes');
    expect(await runs('export')).to.equal('');
  });

  describe('import and export', () => {
    beforeEach(() => runs('users', 'create', 'alice'));

    it('carry every sandbox over unchanged, env and settings only when asked', async () => {
      const settings = { autoResume: true, network: { rules: { a: [{ token: 'hush' }] } } };
      const resumed = { on_timeout: 'pause', first_started_at: '2025-01-01T12:00:00.000Z', settings };
      const lines = [
        line({ sandbox_id: 'a', metadata: { deep: [{ x: null }] }, env: { TOKEN: 'hush' } }),
        line({ sandbox_id: 'b', started_at: '2025-01-02T00:00:00.000Z', status: 'killed', template_id: 'snap' }),
        line({ sandbox_id: 'c', started_at: '2025-01-03T00:00:00.000Z', status: 'paused', end_at: null }),
        line({ sandbox_id: 'd', started_at: '2025-01-04T00:00:00.000Z', ...resumed }),
        line({
          sandbox_id: 'e',
          started_at: '2025-01-05T00:00:00.000Z',
          end_at: '2099-01-01T00:00:00.000Z',
          ...resumed,
        }),
      ].join('');
      const exact = lines.replace('"x":null', '"x":12345678901234567890');
      const file = join(dir, 'five.jsonl');
      writeFileSync(file, exact);
      const result = await run('import', file);
      expect(result.stderr).to.equal('Imported 5 sandboxes.\n');
      expect(await runs('export')).not.to.contain('hush');
      const exported = await runs('export', '--include-env');
      expect(exported).to.contain('12345678901234567890');
      const sorted = (text: string) =>
        text
          .trim()
          .split('\n')
          .map((json) => Object.entries(JSON.parse(json)).sort());
      const back = join(dir, 'back.db');
      await sandpit(['users', 'create', 'alice', '--db', back]);
      await sandpit(['import', '-', '--db', back], { input: exported });
      expect((await sandpit(['export', '--include-env', '--db', back])).stdout).to.equal(exported);
      expect(sorted(exported)[1]).to.deep.include(['status', 'killed']);
      const [paused, running] = sorted(exported)
        .slice(3)
        .map((entries) => Object.fromEntries(entries));
      expect(paused).to.deep.include({ ...resumed, status: 'paused', end_at: '2025-01-01T00:05:00.000Z' });
      expect(running).to.deep.include({ ...resumed, status: 'active', end_at: '2099-01-01T00:00:00.000Z' });
    });

    it('doctor finds the index right after an import of old sandboxes behind new ones', async () => {
      const input = [3, 1, 2].map((n) =>
        line({ sandbox_id: `s${n}`, started_at: `2025-01-0${n}T00:00:00Z`, metadata: { n } }),
      );
      await sandpit(['import', '-', '--db', db], { input: input.join('') });
      expect(await runs('doctor')).to.contain('metadata index: ok, it agrees with all 3 sandboxes\n');
    });

    it('import all lines or none, and name the line that is wrong', async () => {
      const wrong: [string, string][] = [
        ['not json', 'is not valid JSON'],
        [line({ sandbox_id: 'A B' }), 'sandbox_id must match pattern'],
        [line({ sandbox_id: 'good' }), 'a sandbox good exists already'],
        [line({ sandbox_id: 'x', owner: 'bob' }), 'there is no user named bob'],
        [line({ sandbox_id: 'x', status: 'gone' }), 'status must be equal to one of the allowed values'],
        [line({ sandbox_id: 'x', started_at: 'yesterday' }), 'started_at must match format "date-time"'],
        [line({ sandbox_id: 'x', metadata: { a: 'x'.repeat(65_536) } }), 'metadata takes'],
        [line({ sandbox_id: 'x', extra: 1 }), 'must NOT have additional properties'],
        [line({ sandbox_id: 'x', end_at: '2016-12-31T23:59:60Z' }), 'end_at is no time that can be kept'],
        [
          line({ sandbox_id: 'x' }).replace('"metadata":{}', '"metadata":12345678901234567890'),
          'metadata must be object',
        ],
        [line({ sandbox_id: 'x', env: 5 }).replace('"env":5', '"env":12345678901234567890'), 'env must be object'],
      ];
      for (const [text, reason] of wrong) {
        const { code, stderr } = await sandpit(['import', '-', '--db', db], {
          input: `${line({ sandbox_id: 'good' })}\n${text}`,
        });
        expect(code).to.equal(1);
        expect(stderr)
          .to.match(/^sandpit: nothing was imported: line 3: /)
          .and.contain(reason);
      }
      expect(await runs('export')).to.equal('');
      expect(await fails('import', join(dir, 'missing.jsonl'))).to.contain('no such file');
    });
  });

  it('ends quietly when whoever reads its output has seen enough', async () => {
    await runs('users', 'create', 'alice');
    const input = Array.from({ length: 3000 }, (_, n) => line({ sandbox_id: `s${n}` })).join('');
    await sandpit(['import', '-', '--db', db], { input });
    const main = new URL('../app/main.ts', import.meta.url).pathname;
    const shell = spawnSync('sh', ['-c', `"${process.execPath}" "${main}" export --db "${db}" | head -n 1`], {
      encoding: 'utf8',
    });
    expect(shell.stdout.split('\n')).to.have.length(2);
    expect(shell.stderr).to.equal('');
  });
});

function line(record: object = {}): string {
  const whole = {
    sandbox_id: 'one',
    owner: 'alice',
    metadata: {},
    memory_mb: 512,
    vcpu_count: 2,
    started_at: '2025-01-01T00:00:00.000Z',
    end_at: '2025-01-01T00:05:00.000Z',
    status: 'active',
    template_id: null,
    ...record,
  };
  return `${JSON.stringify(whole)}\n`;
}

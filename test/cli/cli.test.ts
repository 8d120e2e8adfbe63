import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { commandsOn, importLine } from '../helpers/processes/commands.ts';
import { program, sandpit, serve } from '../helpers/processes/process.ts';
import { itWithPython } from '../helpers/python.ts';
import { itHere, temporaryDirectory } from '../helpers/server.ts';

const givenKey = `e2b_${'5'.repeat(40)}`;

describe('sandpit', () => {
  let db: string;
  let dir: string;
  beforeEach(() => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
  });

  const { run, runs, fails } = commandsOn(() => db);

  describe('serve', () => {
    it('creates the first key of a new database and prints it once, with a working example', async () => {
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

    it('marks expired sandboxes as killed without being asked', async () => {
      await runs('users', 'create', 'alice');
      writeFileSync(join(dir, 'one.jsonl'), importLine());
      await runs('import', join(dir, 'one.jsonl'));
      const store = new Database(db);
      const status = () => store.prepare('select status from sandboxes').pluck().get();
      expect(status()).to.equal('active');
      const server = await serve(['--db', db, '--sweep-seconds', '1']);
      while (status() === 'active') await fetch(`${server.url}/health`);
      store.close();
      await server.stop();
    });

    it('uses SANDPIT_API_KEY as the first key', async () => {
      const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
      const response = await fetch(`${server.url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': givenKey } });
      expect(response.status).to.equal(200);
      expect(server.output.stderr).not.to.contain(givenKey);
      await server.stop();
    });

    it('says why it cannot create a database', async () => {
      const missing = join(dir, 'missing', 'sandpit.db');
      const { code, stderr } = await sandpit(['serve', '--db', missing]);
      expect(code).to.equal(1);
      expect(stderr).to.equal(`sandpit: can't open the database ${missing}: its folder does not exist\n`);
    });

    it('does not create the first key when the port is in use', async () => {
      const other = createServer();
      await fails('serve', '--port', String(await listen(other)));
      other.close();
      const server = await serve(['--db', db]);
      expect(server.output.stderr).to.match(/e2b_[0-9a-f]{40}/);
      await server.stop();
    });

    it('stops at once despite idle connections, and completes the request under way', async () => {
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

    it('exits at once on a second signal', async () => {
      const server = await serve(['--db', db, '--shutdown-seconds', '3600'], { env: { SANDPIT_API_KEY: givenKey } });
      // An incomplete request: the server waits for the rest.
      const slow = connect(Number(new URL(server.url).port), '127.0.0.1');
      slow.on('error', () => {});
      slow.write(`POST /v1/vms HTTP/1.1\r\nHost: x\r\nX-API-Key: ${givenKey}\r\nContent-Length: 2\r\n\r\n`);
      await fetch(`${server.url}/health`);
      server.signal('SIGINT');
      while (!server.output.stderr.includes('Stopping.')) await nextTurn();
      expect(await server.stop('SIGINT'), 'ended by the signal').to.equal(null);
      slow.destroy();
    });

    itHere('npm start ends with npm and leaves no server running', async () => {
      const args = ['start', '--', '--port', '0', '--db', db];
      const npm = spawn('npm', args, {
        cwd: new URL('../..', import.meta.url),
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      try {
        let stderr = '';
        npm.stderr.on('data', (chunk) => {
          stderr += chunk;
        });
        while (!/answers on \S+\n/.test(stderr)) await once(npm.stderr, 'data');
        const [, url = ''] = /answers on (\S+)/.exec(stderr) ?? [];
        npm.kill();
        await once(npm, 'exit');
        expect(await fetch(url).catch(() => 'gone')).to.equal('gone');
      } finally {
        try {
          process.kill(-(npm.pid as number), 'SIGKILL');
        } catch {
          // All of them have ended.
        }
      }
    });

    it('stops on SIGTERM and SIGINT without losing data', async () => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
        const headers = { 'X-API-Key': givenKey };
        await fetch(`${server.url}/v1/vms`, { method: 'POST', headers });
        expect(await server.stop(signal)).to.equal(0);
      }
      expect((await runs('export')).trim().split('\n')).to.have.length(2);
      expect(readdirSync(dir)).to.deep.equal(['sandpit.db']);
    });

    it('refuses to start with an invalid value and names the variable', async () => {
      const { code, stderr } = await sandpit(['serve'], { env: { SANDPIT_PORT: 'http', SANDPIT_DB: db } });
      expect(code).to.equal(1);
      expect(stderr).to.equal("sandpit: SANDPIT_PORT must be a whole number from 0 to 65535, not 'http'\n");
      expect(readdirSync(dir)).to.deep.equal([]);
    });

    it('reports in one line a port in use or a bad database', async () => {
      const other = createServer();
      const port = await listen(other);
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
    const yaml = readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8');
    expect((await sandpit(['openapi'])).stdout).to.equal(yaml);
    expect(JSON.parse((await sandpit(['openapi', '--json'])).stdout).info.title).to.equal('Sandpit');
  });

  it('changes to users and keys apply to a running server at once', async () => {
    const server = await serve(['--db', db], { env: { SANDPIT_API_KEY: givenKey } });
    await sandpit(['users', 'create', 'alice', '--password', '--db', db], { input: 'correct horse\n' });
    const key = (await runs('keys', 'create', '--user', 'alice', '--name', 'laptop')).trim();
    const status = async () =>
      (await fetch(`${server.url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': key } })).status;
    expect(await status()).to.equal(200);
    expect(await runs('keys', 'list')).to.match(/PREFIX +NAME +USER +MAY +CREATED.*\n.*admin.*\n.*laptop +alice/);
    const [row] = JSON.parse(await runs('keys', 'list', '--user', 'alice', '--json'));
    expect(row).to.include({ prefix: key.slice(0, 16), name: 'laptop', owner: 'alice', revoked_at: null });
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

  it('keys create --expires --read-only creates a key with these limits, and keys list shows them', async () => {
    await runs('users', 'create', 'alice');
    const before = Date.now();
    const made = JSON.parse(
      await runs('keys', 'create', '--user', 'alice', '--expires', '30d', '--read-only', '--json'),
    );
    expect(Date.parse(made.expires_at)).to.be.within(before + 30 * 86_400_000, Date.now() + 30 * 86_400_000);
    expect(made.permissions).to.deep.equal(['read']);
    const [row] = JSON.parse(await runs('keys', 'list', '--json'));
    expect(row).to.deep.include({ expires_at: made.expires_at, permissions: ['read'] });
    expect(await runs('keys', 'list'))
      .to.contain('EXPIRES')
      .and.to.contain(made.expires_at);
    const server = await serve(['--db', db]);
    const status = async (method: string) =>
      (await fetch(`${server.url}/v1/vms`, { method, headers: { 'X-API-Key': made.key } })).status;
    expect([await status('GET'), await status('POST')]).to.deep.equal([200, 403]);
    await server.stop();
    expect((await run('keys', 'create', '--user', 'alice', '--expires', 'soon')).stderr).to.contain('soon');
  });

  it('--json writes times as the API does', async () => {
    await runs('users', 'create', 'alice');
    await runs('keys', 'create', '--user', 'alice');
    const members = async (...args: string[]) => Object.keys(JSON.parse(await runs(...args, '--json'))[0]);
    expect(await members('users', 'list')).to.have.members(['name', 'created_at', 'sandboxes']);
    expect(await members('keys', 'list'))
      .to.include.members(['created_at', 'last_used_at', 'expires_at', 'revoked_at'])
      .and.not.include('createdAt');
  });

  it('escapes control characters in tables, JSON and messages', async () => {
    const steering = ['\u001b[2J', '\u009b31m', '\u007f', '\r', '\n', '\u202e', '\u2066', '\u2028'];
    const few = ['\u001b[2J', '\u202e'];
    await runs('users', 'create', 'alice');
    for (const text of steering) await runs('keys', 'create', '--user', 'alice', '--name', `a${text}b`);
    const shown = [
      await runs('keys', 'list'),
      await runs('keys', 'list', '--json'),
      ...(await Promise.all(few.map((text) => fails('keys', 'create', '--user', `a${text}b`)))),
      ...(await Promise.all(few.map((text) => fails('users', 'create', `a${text}b`)))),
      ...(await Promise.all(few.map((text) => sandpit(['keys', `a${text}b`])))).map(({ stderr }) => stderr),
      ...(await Promise.all(few.map((text) => sandpit(['kill', '--metadata', `{"a${text}b`])))).map(
        ({ stderr }) => stderr,
      ),
      (await sandpit(['serve', '--port', 'a\u001b[2Jb'])).stderr,
    ];
    for (const text of shown) expect(text).not.to.match(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
    expect(shown[0]?.trim().split('\n')).to.have.length(steering.length + 1);
    expect(shown[0]).to.contain('a\\u001b[2Jb').and.contain('a\\u202eb');
    const names = JSON.parse(shown[1] as string).map(({ name }: { name: string }) => name);
    expect(names).to.have.members(steering.map((text) => `a${text}b`));
  });

  it('warns about a SANDPIT_ variable that is not a setting, and suggests the most similar one', async () => {
    await runs('users', 'create', 'alice');
    const env = {
      SANDPIT_DB: db,
      SANDPIT_PROT: '1',
      SANDPIT_CONFROM_URL: 'x',
      SANDPIT_LOG_LEVEL: 'info',
      SANDPITS: 'x',
    };
    const { code, stderr } = await sandpit(['users', 'list'], { env });
    expect([code, stderr.split('\n').sort()]).to.deep.equal([
      0,
      [
        '',
        'Warning: SANDPIT_CONFROM_URL is not a setting and is ignored. Did you mean SANDPIT_CONFORM_URL?',
        'Warning: SANDPIT_PROT is not a setting and is ignored. Did you mean SANDPIT_PORT?',
      ],
    ]);
  });

  it('reports usage errors in one format, with a hint', async () => {
    for (const args of [['keys', 'lst'], ['users', 'create'], ['serve', '--prt', '1'], ['nope']]) {
      const { code, stderr } = await sandpit(args);
      expect([args, code]).to.deep.equal([args, 1]);
      expect(stderr)
        .to.match(/^sandpit: /)
        .and.contain('--help for the options of a command')
        .and.not.contain('error:');
    }
    await runs('users', 'create', 'alice');
    expect(await fails('keys', 'list', '--user', 'bob')).to.match(
      /^sandpit: there is no .* bob: see sandpit users list/,
    );
  });

  itWithPython(
    'asks for confirmation on a terminal before it deletes a user or kills everything; elsewhere requires --yes',
    async () => {
      const onTerminal = (answer: string, ...args: string[]) => {
        const { stdout, status } = spawnSync('python3', ['-c', answering, answer, ...program, ...args, '--db', db]);
        expect(status, String(stdout)).to.equal(0);
        return String(stdout);
      };
      await runs('users', 'create', 'alice');
      await runs('users', 'create', 'bob');
      expect(onTerminal('n', 'users', 'delete', 'alice')).to.match(
        /Delete alice and their keys\? \[y\/N\][\s\S]*nothing was changed[\s\S]*exit 1/,
      );
      expect(onTerminal('y', 'users', 'delete', 'alice')).to.match(/Deleted alice[\s\S]*exit 0/);
      expect(onTerminal('', 'kill', '--all')).to.match(/End all sandboxes of all users\?[\s\S]*exit 1/);
      expect(onTerminal('', 'kill', '--all', '--yes')).to.match(/Ended 0 sandboxes[\s\S]*exit 0/);
      expect(onTerminal('', 'kill', '--all', '--dry-run')).to.match(/Would end 0 sandboxes[\s\S]*exit 0/);
      expect(await runs('users', 'delete', 'bob')).to.equal('Deleted bob.\n');
    },
  );

  it('reports a name that is taken or unknown, a short password and a user that still has sandboxes', async () => {
    await runs('users', 'create', 'alice');
    expect(await fails('users', 'create', 'alice')).to.contain('exists already');
    expect(await fails('users', 'create', 'a b')).to.contain('a user name has');
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
    expect(short).to.include({ code: 1, stderr: 'sandpit: a password needs at least 8 characters\n' });
    const file = join(dir, 'one.jsonl');
    writeFileSync(file, importLine());
    await runs('import', file);
    expect(await fails('users', 'delete', 'alice')).to.contain('--with-sandboxes');
    await runs('users', 'delete', 'alice', '--with-sandboxes');
    expect(await runs('export')).to.equal('');
  });
});

/**
 * Runs a program on a pseudo-terminal and answers its first question. Prints its output and exit
 * status.
 */
const answering = `
import os, pty, sys
pid, master = pty.fork()
if pid == 0: os.execvp(sys.argv[2], sys.argv[2:])
os.write(master, (sys.argv[1] + chr(10)).encode())
said = b''
while True:
    try: part = os.read(master, 10000)
    except OSError: break
    if not part: break
    said += part
print(said.decode(), 'exit', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

import { listen } from '../helpers/listen.ts';

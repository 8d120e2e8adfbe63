import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readPage } from '../docs/marked.ts';
import { executable, sandpit, serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('commands for deployment', () => {
  it("service prints a systemd unit that can write only the database's directory", async () => {
    const { code, stdout } = await sandpit(['service']);
    expect(code).to.equal(0);
    expect(stdout).to.contain(`ExecStart=${executable ?? '/usr/local/bin/sandpit'} serve\n`);
    for (const line of [
      'ExecReload=kill -HUP $MAINPID',
      'DynamicUser=yes',
      'ProtectSystem=strict',
      'StateDirectory=sandpit',
      'NoNewPrivileges=yes',
    ]) {
      expect(stdout).to.contain(`${line}\n`);
    }
    // MicroVMs need the device, and go on while the server restarts.
    expect(stdout)
      .to.match(/^KillMode=process$/m)
      .and.match(/^DeviceAllow=\/dev\/kvm rw$/m);
    expect(stdout)
      .to.match(/^DevicePolicy=closed$/m)
      .and.not.match(/^PrivateDevices=/m);
  });

  it('npm ci fails in one line when the scripts would run on an old Node', () => {
    const file = fileURLToPath(new URL('../../app/package/check-node.cjs', import.meta.url));
    const on = (version: string) => {
      const pretend = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } }); require('${file}')`;
      const { status, stderr } = spawnSync('node', ['-e', pretend]);
      return [status, String(stderr)];
    };
    expect(on('24.0.0')).to.deep.equal([0, '']);
    const [status, said] = on('20.20.2');
    expect(status).to.equal(1);
    expect(said).to.match(/^Sandpit runs on Node 24, .*20\.20\.2.*without --omit=optional.*\n$/);
  });

  it('OPERATING.md names one database, the one of the unit, so that a pasted command makes no other', () => {
    const named = [...readPage('OPERATING.md').matchAll(/\/var\/lib\/[\w./-]+\.db/g)].map(([file]) => file);
    expect(named).to.have.length.above(1);
    expect(new Set(named)).to.deep.equal(new Set(['/var/lib/sandpit/sandpit.db']));
  });

  it('dockerfile prints a Dockerfile that runs the executable as an unprivileged user', async () => {
    const { stdout } = await sandpit(['dockerfile']);
    expect(stdout)
      .to.match(/^ARG EXECUTABLE=sandpit-linux-(x64|arm64)\nCOPY \$\{EXECUTABLE\} \/usr\/local\/bin\/sandpit$/m)
      .and.match(/^HEALTHCHECK .*CMD \["\/usr\/local\/bin\/sandpit", "health"\]$/m)
      .and.match(/^USER 65532:65532$/m);
  });

  it('health reports whether the configured server is healthy', async () => {
    const server = await serve(['--db', join(temporaryDirectory(), 'sandpit.db'), '--host', '0.0.0.0']);
    const { port } = new URL(server.url);
    const asked = await sandpit(['health'], { env: { SANDPIT_HOST: '0.0.0.0', SANDPIT_PORT: port } });
    expect(asked).to.include({ code: 0, stdout: `http://127.0.0.1:${port}/health answers 200\n` });
    expect((await sandpit(['health', '--port', port, '--ready'])).code).to.equal(0);
    await server.stop();
    const gone = await sandpit(['health', '--port', port]);
    expect(gone.code).to.equal(1);
    expect(gone.stderr).to.match(/^sandpit: .*\/health does not answer: .*ECONNREFUSED/);
  });

  it('completion completes commands, subcommands and flags', async function () {
    if (spawnSync('bash', ['-c', 'complete']).status !== 0) this.skip();
    const { stdout: script } = await sandpit(['completion', 'bash']);
    const completed = (...words: string[]) => {
      const set = `COMP_WORDS=(sandpit ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}`;
      const { stdout } = spawnSync('bash', ['-c', `${script}\n${set}; _sandpit; echo "\${COMPREPLY[@]}"`]);
      return String(stdout).trim().split(' ');
    };
    expect(completed('us')).to.deep.equal(['users']);
    expect(completed('users', '')).to.include.members(['create', 'list', 'passwd', 'delete']);
    expect(completed('serve', '--po')).to.deep.equal(['--port']);
    expect(completed('users', 'delete', 'alice', '--w')).to.deep.equal(['--with-sandboxes']);
  });

  it('completion refuses an unknown shell', async () => {
    const { code, stderr } = await sandpit(['completion', 'csh']);
    expect(code).to.equal(1);
    expect(stderr).to.contain('Allowed choices are bash');
  });

  it('--version names the versions of the program, of Node and of SQLite', async () => {
    const { stdout } = await sandpit(['--version']);
    expect(stdout).to.match(/^sandpit \d+\.\d+\.\d+ \(.+\), Node 24\.\d+\.\d+, SQLite 3\.\d+\.\d+\n$/);
  });
});

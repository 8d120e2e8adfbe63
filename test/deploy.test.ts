import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { executable, sandpit } from './process.ts';

describe('what a deployment needs', () => {
  it('service prints a unit that keeps the database and locks the rest away', async () => {
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
  });

  it('dockerfile prints one that starts the executable as nobody in particular', async () => {
    const { stdout } = await sandpit(['dockerfile']);
    expect(stdout)
      .to.match(/^COPY sandpit-\S+ \/usr\/local\/bin\/sandpit$/m)
      .and.match(/^USER 65532:65532$/m);
  });

  it('completion completes commands, their commands and their flags', async function () {
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

  it('completion refuses a shell that it does not know', async () => {
    const { code, stderr } = await sandpit(['completion', 'csh']);
    expect(code).to.equal(1);
    expect(stderr).to.contain('bash, zsh, fish');
  });

  it('--version names the versions of the program, of Node and of SQLite', async () => {
    const { stdout } = await sandpit(['--version']);
    expect(stdout).to.match(/^sandpit \d+\.\d+\.\d+ \(.+\), Node 24\.\d+\.\d+, SQLite 3\.\d+\.\d+\n$/);
  });
});

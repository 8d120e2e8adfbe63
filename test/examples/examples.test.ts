import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { program } from '../helpers/processes/process.ts';
import { itWithPython } from '../helpers/python.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const run = promisify(execFile);
const example = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const has = (command: string) => spawnSync(command, ['--version']).status === 0;

describe('the examples of testing a client', () => {
  let env: NodeJS.ProcessEnv;
  before(() => {
    // Replaces the program that a user has on the PATH.
    const sandpit = join(temporaryDirectory(), 'sandpit');
    writeFileSync(sandpit, `#!/bin/sh\nexec ${program.map((word) => `'${word}'`).join(' ')} "$@"\n`, { mode: 0o755 });
    env = { PATH: process.env.PATH, SANDPIT: sandpit };
  });

  it('mocha', async () => {
    const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
    const { stdout } = await run(
      process.execPath,
      [mocha, '--no-package', '--timeout', '60000', example('client.mjs')],
      { env },
    );
    expect(stdout).to.contain('2 passing');
  });

  itWithPython("Python's unittest", async () => {
    const { stderr } = await run('python3', [example('client_test.py')], { env });
    expect(stderr).to.match(/Ran 2 tests[\s\S]*OK/);
  });

  it('bash and curl', async function () {
    if (!has('bash') || !has('curl')) this.skip();
    const { stdout } = await run('bash', [example('client.sh')], { env });
    expect(stdout).to.equal('all as expected\n');
  });
});

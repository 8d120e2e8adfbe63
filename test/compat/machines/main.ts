import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type EngineName, startEngine } from '../../machines/engines/engines.ts';

/**
 * `npm run judge:machines`: E2B's SDKs and command line, unmodified, on machines of Docker and of
 * Podman, or of the engines that TEST_ENGINES names. `--write` writes the table to
 * COMPATIBILITY.md; without it, a table that differs is a failure. Other arguments go to mocha.
 */
const root = fileURLToPath(new URL('../../../', import.meta.url));
const mocha = `${root}node_modules/mocha/bin/mocha.js`;
const titles: Record<EngineName, string> = { docker: 'Docker', podman: 'Podman' };
const names = (process.env.TEST_ENGINES ?? 'docker,podman').split(',') as EngineName[];
const isWriting = process.argv.includes('--write');
const given = process.argv.slice(2).filter((argument) => argument !== '--write');

async function judge(name: EngineName): Promise<boolean> {
  const engine = await startEngine(name);
  const env = {
    ...process.env,
    TEST_ENGINE: engine.address,
    TEST_ENGINE_NAME: titles[name],
    TEST_IMAGE: engine.image,
    ...(isWriting && { TEST_WRITES: 'true' }),
  };
  const options = ['--no-package', '--no-parallel', '--require', 'test/helpers/setup.ts', '--timeout', '120000'];
  const args = [mocha, ...options, ...given, 'test/compat/machines.test.ts'];
  try {
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
    const [code] = await once(child, 'close');
    return code === 0;
  } finally {
    await engine.stop();
  }
}

// One after another: a test that waits for a reading or an end must not starve.
const passed: boolean[] = [];
for (const name of names) passed.push(await judge(name));
process.exitCode = passed.every(Boolean) ? 0 : 1;

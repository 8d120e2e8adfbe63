import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { preparedPython } from '../clients/instavm/run.ts';
import { ensureServer, eventually, key, machineNames, slowMilliseconds, url } from './target.ts';

const script = fileURLToPath(new URL('client.py', import.meta.url));

describe("InstaVM's client, unmodified, on a microVM", function () {
  this.timeout(slowMilliseconds * 2);

  it('runs code, moves files, and leaves a last snapshot that the next sandbox starts from', async () => {
    await ensureServer();
    const env = { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', SANDPIT_URL: url, SANDPIT_KEY: key };
    const { stdout } = await promisify(execFile)(preparedPython(), [script], { env });
    expect(JSON.parse(stdout)).to.deep.equal({
      python: ['21\n', 0],
      bash: ['out\n', 'err\n', 3],
      downloaded: 'content',
      last: 'content',
      policy: false,
    });
    await eventually('the runtime has no machine left', async () => (await machineNames()).length === 0);
  });
});

import { execFile, spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { startApp } from './helpers.ts';

const script = fileURLToPath(new URL('instavm_list.py', import.meta.url));
const run = promisify(execFile);
const hasPython = spawnSync('python3', ['--version']).status === 0;

describe(`InstaVM's Python SDK${hasPython ? '' : ' (skipped: there is no python3 on this machine)'}`, () => {
  it('lists with its own query: limit always, metadata with spaces as plus signs', async function () {
    if (!hasPython) this.skip();
    const app = await startApp();
    const alice = await app.addUser('alice');
    const id = await app.insert(alice, { metadata: { userId: '123', env: 'dev', note: 'a b+c' } });
    await app.insert(alice, { metadata: { userId: '124' } });
    const queries: string[] = [];
    const server = createServer((req, res) => {
      queries.push(req.url?.split('?')[1] ?? '');
      app.listener(req, res);
    }).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => server.once('listening', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const list = async (...filter: string[]) =>
        JSON.parse((await run('python3', [script, url, alice.key, ...filter])).stdout);
      expect(await list()).to.have.length(2);
      const [found, ...others] = await list('{"userId": "123", "note": "a b+c"}');
      expect(others).to.deep.equal([]);
      expect(found.sandbox_id).to.equal(id);
      expect(queries).to.deep.equal([
        'limit=100',
        'limit=100&metadata=%7B%22userId%22%3A+%22123%22%2C+%22note%22%3A+%22a+b%2Bc%22%7D',
      ]);
    } finally {
      server.close();
    }
  });
});

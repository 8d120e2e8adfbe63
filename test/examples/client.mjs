// A client and its test, with mocha: mocha --no-package client.mjs
// SANDPIT is the path of the program; without it, `sandpit` must be on the PATH.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const seed = fileURLToPath(new URL('seed.jsonl', import.meta.url));

/** The client: lists a user's running sandboxes, and retries after a 429. */
async function runningSandboxes({ url, apiKey }, userId) {
  const query = new URLSearchParams({ metadata: JSON.stringify({ userId }) });
  for (let attempt = 0; attempt < 3; attempt++) {
    const response = await fetch(`${url}/v1/sessions/sandboxes?${query}`, { headers: { 'X-API-Key': apiKey } });
    if (response.status !== 429) {
      assert.equal(response.status, 200);
      return (await response.json()).filter(({ status }) => status === 'active');
    }
    const seconds = Number(response.headers.get('retry-after'));
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
  throw new Error('the server is busy');
}

describe('the client', () => {
  let process;
  let server;

  before(async () => {
    const args = ['serve', '--test', '--random-seed', '1', '--seed', seed];
    process = spawn(globalThis.process.env.SANDPIT ?? 'sandpit', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(process.stdout, 'data');
    server = JSON.parse(line);
  });
  beforeEach(() => control('reset'));
  after(() => process.stdin.end());

  /** Calls an operation that controls the test server. */
  const control = (what, body) =>
    fetch(`${server.url}/_test/${what}`, {
      method: 'POST',
      ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });

  it('lists a sandbox until its lifetime ends', async () => {
    const [sandbox] = await runningSandboxes(server, '123');
    assert.equal(sandbox.sandbox_id, 'vmid-abc-15');
    await control('clock', { advance_seconds: 300 });
    assert.deepEqual(await runningSandboxes(server, '123'), []);
  });

  it('waits after a 429 and sends the same request again', async () => {
    await control('faults', { path: '/v1/sessions/sandboxes', status: 429, retry_after: 0 });
    assert.equal((await runningSandboxes(server, '123')).length, 1);
    const { requests } = await (await fetch(`${server.url}/_test/requests`)).json();
    assert.deepEqual(
      requests.map(({ status }) => status),
      [429, 200],
    );
    assert.equal(requests[0].url, requests[1].url);
  });
});

import { execFile, spawnSync } from 'node:child_process';
import { createServer, type IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { listen } from '../helpers/listen.ts';
import { type Caller, startApp, type TestApp } from '../helpers/server.ts';

const script = fileURLToPath(new URL('instavm_sdk.py', import.meta.url));
const run = promisify(execFile);
const hasPython = spawnSync('python3', ['--version']).status === 0;

type Sent = { line: string; key: string | null; body: string };

describe(`InstaVM's Python SDK${hasPython ? '' : ' (skipped: there is no python3 on this machine)'}`, () => {
  let app: TestApp;
  let alice: Caller;
  let sent: Sent[];
  let url: string;
  let stop: () => void;
  beforeEach(async function () {
    if (!hasPython) this.skip();
    app = await startApp();
    alice = await app.addUser('alice');
    sent = [];
    const server = createServer((req, res) => {
      note(req, sent);
      app.listener(req, res);
    });
    url = `http://127.0.0.1:${await listen(server)}`;
    stop = () => server.close();
  });
  afterEach(() => stop?.());

  const sdk = async (operation: string, ...args: string[]) =>
    JSON.parse((await run('python3', [script, url, alice.key, operation, ...args])).stdout);

  it('lists with its own query: spaces as plus signs in metadata, a limit only on request', async () => {
    const id = await app.insert(alice, { metadata: { userId: '123', env: 'dev', note: 'a b+c' } });
    await app.insert(alice, { metadata: { userId: '124' } });
    expect(await sdk('list_sandboxes')).to.have.length(2);
    const [found, ...others] = await sdk('list_sandboxes', '{"userId": "123", "note": "a b+c"}');
    expect(others).to.deep.equal([]);
    expect(found.sandbox_id).to.equal(id);
    expect(await sdk('list_sandboxes', '{}', '1')).to.have.length(1);
    const path = '/v1/sessions/sandboxes';
    expect(sent.map(({ line }) => line)).to.deep.equal([
      `GET ${path}`,
      `GET ${path}?metadata=%7B%22userId%22%3A+%22123%22%2C+%22note%22%3A+%22a+b%2Bc%22%7D`,
      `GET ${path}?metadata=%7B%7D&limit=1`,
    ]);
  });

  it('starts a session with the key in the body, and sees and kills it', async () => {
    const id: string = await sdk('start_session', '{"memory_mb": 1024, "metadata": {"run": 42}, "env": {"A": "b"}}');
    expect(await sdk('is_session_active', id)).to.equal(true);
    const [listed] = await sdk('list_sandboxes', '{"run": 42}');
    app.clock.now += 2500;
    expect(await sdk('get_usage', id)).to.include({ session_id: id, vm_status: 'active', run_seconds: 2.5 });
    expect(await sdk('kill', id)).to.deep.equal({ message: 'Sandbox killed', vm_id: listed.sandbox_id });
    expect(await sdk('is_session_active', id)).to.equal(false);
    expect(await sdk('kill', id)).to.include({ status: 404 });
    const body = `{"api_key": "${alice.key}", "vm_lifetime_seconds": 300, "memory_mb": 1024, "metadata": {"run": 42}, "env": {"A": "b"}}`;
    expect(sent[0]).to.deep.equal({ line: 'POST /v1/sessions/session', key: null, body });
    expect(sent[3]).to.deep.equal({ line: `GET /v1/sessions/usage/${id}`, key: alice.key, body: '' });
    expect(sent[4]).to.deep.equal({ line: 'POST /kill', key: alice.key, body: `{"session_id": "${id}"}` });
    expect(app.log()).not.to.contain(alice.key);
  });

  it('receives the status for a wrong key that it checks for', async () => {
    const other = { ...alice, key: `e2b_${'0'.repeat(40)}` };
    alice = other;
    expect(await sdk('start_session', '{}')).to.equal(null);
    expect(await sdk('list_sandboxes')).to.include({ status: 401 });
  });
});

function note(req: IncomingMessage, sent: Sent[]): void {
  const request: Sent = {
    line: `${req.method} ${req.url}`,
    key: (req.headers['x-api-key'] as string) ?? null,
    body: '',
  };
  sent.push(request);
  const push = req.push.bind(req);
  // Only observes the body; the application reads it.
  req.push = (chunk: Buffer | null) => {
    request.body += chunk ?? '';
    return push(chunk);
  };
}

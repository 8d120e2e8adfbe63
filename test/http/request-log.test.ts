import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { createLog } from '../../app/log/log.ts';
import { prettyLines } from '../../app/log/pretty.ts';
import { program, serve } from '../helpers/processes/process.ts';
import { apiKey, clientOf, shareApp, temporaryDirectory } from '../helpers/server.ts';

describe('the request log', () => {
  const app = shareApp({ trustProxy: 1 });
  /** Returns the log line of the request with this response. */
  const lineOf = async ({ headers }: { headers: Record<string, string> }) => {
    const id = headers['x-request-id'] as string;
    await app().logged(new RegExp(id));
    const line = app()
      .log()
      .split('\n')
      .find((each) => each.includes(id));
    return JSON.parse(line as string);
  };

  it("names the client's address as the trusted proxy reports it", async () => {
    const client = async (forwarded: string) =>
      (await lineOf(await app().http.get('/health').set('X-Forwarded-For', forwarded))).client;
    expect(await client('192.0.2.7')).to.equal('192.0.2.7');
    expect(await client('203.0.113.9, 192.0.2.7'), 'only the last is the proxy’s word').to.equal('192.0.2.7');
    expect(await client('[2001:db8::7]:4711')).to.equal('2001:db8::7');
    expect(await client('::ffff:192.0.2.7')).to.equal('192.0.2.7');
    for (const odd of ['\u009b31m', 'unknown', 'x'.repeat(10_000)]) expect(await client(odd)).to.equal('127.0.0.1');
  });

  it('names the sandbox of a request in every dialect, and only if it can be an id', async () => {
    const alice = await app().addUser('alice');
    const { create, read } = clientOf(app(), alice);
    const made = await create();
    const id = made.body.vm_id;
    const key = apiKey(alice);
    const session = await app().http.post('/v1/sessions/session').send({ api_key: alice.key });
    const e2b = await app().http.post('/sandboxes').set(key).send({ templateID: 'base' });
    expect((await lineOf(made)).sandbox).to.equal(id);
    expect((await lineOf(await read(id))).sandbox).to.equal(id);
    expect((await lineOf(await app().http.get(`/sandboxes/${id}`).set(key))).sandbox).to.equal(id);
    expect((await lineOf(e2b)).sandbox).to.equal(e2b.body.sandboxID);
    expect((await lineOf(session)).sandbox).to.match(/^i[a-z0-9]{20}$/);
    for (const odd of ['%1b%5b31m', `${'x'.repeat(65)}`, 'a%0ab']) {
      expect(await lineOf(await read(odd)), odd).not.to.have.property('sandbox');
    }
  });

  it('prints one readable line a request on a terminal, with control characters escaped', async () => {
    const lines = new PassThrough();
    const log = createLog('info', lines);
    const shown = async (fields: object, message: string) => {
      const written = once(lines, 'data');
      log.info(fields, message);
      return prettyLines(false)(String((await written)[0]));
    };
    const request = {
      id: 'i',
      method: 'GET',
      route: '/v1/vms',
      status: 200,
      duration: 1.5,
      owner: 'al',
      client: '::1',
    };
    expect(await shown(request, 'request')).to.match(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: GET \/v1\/vms 200 in 1\.5 ms al \{"id":"i","client":"::1"\}\n$/,
    );
    expect(await shown({ ...request, route: null, owner: null }, 'request')).to.contain('GET (unknown path) 200 in');
    const odd = await shown({ text: 'a\u001b[31m\u009b31m\u0007b', '\u001b]0;': '\u0000' }, 'x\u001b[2Jy\u009b');
    expect(odd).to.match(/^[\x20-\x7e]+\n$/);
    expect(odd).to.contain('x\\u001b[2Jy\\u009b').and.contain('a\\u001b[31m');
    const failure = await shown({ err: new Error('broken\u001b[31m', { cause: new Error('inside') }) }, 'failed');
    expect(failure).to.contain('Error: broken').and.contain('inside');
    expect(failure).not.to.contain('\u001b');
  });

  it('uses the format of SANDPIT_LOG_FORMAT', async () => {
    const formats = {
      auto: /^\{"level":30,/,
      json: /^\{"level":30,/,
      pretty: /^\[[\d:.]+\] INFO: GET \/health 200 in /,
    };
    for (const [format, pattern] of Object.entries(formats)) {
      const db = join(temporaryDirectory(), 'sandpit.db');
      const server = await serve(['--db', db], { env: { SANDPIT_LOG_FORMAT: format } });
      await fetch(`${server.url}/health`);
      await server.stop();
      expect(server.output.stdout, format).to.match(pattern);
    }
    const [file = '', ...args] = program;
    const { status, stderr } = spawnSync(file, [...args, 'serve', '--log-format', 'xml'], { encoding: 'utf8' });
    expect([status, stderr]).to.deep.equal([1, 'sandpit: --log-format must be auto, pretty or json\n']);
  });
});

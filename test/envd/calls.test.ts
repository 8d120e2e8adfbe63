import { expect } from 'chai';
import type { Operation } from '../../spec/load.ts';
import { call, enveloped, open } from '../helpers/clients/connect-client.ts';
import { useMachine } from '../helpers/clients/machine-client.ts';
import { operations } from '../helpers/contract.ts';
import { shareApp } from '../helpers/server.ts';

const procedures = operations.filter(({ path }) => /^\/(process\.Process|filesystem\.Filesystem)\/[A-Z]/.test(path));
const typeOf = ({ requestBody }: Operation) => Object.keys(requestBody?.content ?? {})[0] as string;
const isStream = (operation: Operation) => typeOf(operation) !== 'application/json';

describe('calls of a machine’s procedures', () => {
  const machine = useMachine();

  const post = (path: string, type: string, body: Buffer | string, headers: Record<string, string> = machine.headers) =>
    machine.call(path, { method: 'POST', headers: { ...headers, 'Content-Type': type }, body: Buffer.from(body) });

  /** Returns the code and the message of an error, wherever they are. */
  const errorIn = ({ status, text, bytes }: Awaited<ReturnType<typeof post>>) => {
    const { error = {}, ...rest } = JSON.parse(bytes[0] === 2 ? bytes.subarray(5).toString() : text);
    return { status, ...error, ...rest };
  };

  it('there are 17', () => expect(procedures).to.have.length(17));

  for (const { path, operation } of procedures) {
    const type = typeOf(operation);
    const message = (json: string) => (isStream(operation) ? enveloped(json) : json);

    it(`${path} refuses callers without the sandbox's token, before it reads the body`, async () => {
      const { id, token } = machine;
      for (const wrong of [{}, { 'X-Access-Token': '' }, { 'X-Access-Token': `${token}x` }]) {
        const answer = await post(path, type, '{"a":', { 'E2b-Sandbox-Id': id, ...wrong });
        const words = 'unauthorized access, please provide a valid access token or method signing if supported';
        expect([answer.status, answer.json()]).to.deep.equal([401, { code: 401, message: words }]);
      }
    });

    it(`${path} answers 502 for a sandbox that does not run`, async () => {
      const answer = await post(path, type, '{"a":', { ...machine.headers, 'E2b-Sandbox-Id': 'none' });
      const body = { sandboxId: 'none', message: 'The sandbox was not found', code: 502 };
      expect([answer.status, answer.json()]).to.deep.equal([502, body]);
    });

    it(`${path} refuses what is no JSON, and another media type`, async () => {
      const broken = errorIn(await post(path, type, message('{"a":')));
      expect(broken).to.include({ status: isStream(operation) ? 200 : 400, code: 'invalid_argument' });
      expect(broken.message).to.contain('JSON decode error');
      for (const other of ['text/plain', 'application/proto', 'application/json; charset=latin1']) {
        const answer = errorIn(await post(path, other, message('{}')));
        expect(answer).to.deep.equal({
          status: 415,
          code: 'unimplemented',
          message: `Unsupported Media Type: send ${type}`,
        });
      }
      const binary = await post(path, 'application/connect+proto', enveloped(''));
      expect(binary.headers.get('content-type')).to.equal('application/connect+proto');
      expect(errorIn(binary)).to.include({ status: 200, code: 'unimplemented' });
    });
  }

  it('a message that breaks the contract is invalid_argument, with every problem', async () => {
    for (const [path, message, problems] of [
      ['process.Process/Start', {}, ['body.process: Field required']],
      ['process.Process/Start', { process: {} }, ['body.process.cmd: Field required']],
      [
        'process.Process/Start',
        { process: { cmd: 1, args: 'a' } },
        ['body.process.cmd: Input', 'body.process.args: In'],
      ],
      ['process.Process/Start', { process: { cmd: 'a', envs: { A: 1 } } }, ['body.process.envs.A: Input should be a']],
      ['process.Process/Connect', { process: {} }, ['body.process: ']],
      ['process.Process/SendInput', { process: { pid: -1 }, input: { stdin: '%' } }, ['process.pid', 'input.stdin']],
      ['process.Process/Update', { process: { pid: 1 }, pty: { size: { cols: 65536 } } }, ['body.pty.size.cols']],
      ['process.Process/SendSignal', { process: { pid: 1 }, signal: 'SIGHUP' }, ['body.signal: Input should be']],
      ['filesystem.Filesystem/ListDir', { path: 'a', depth: -1 }, ['body.depth: Input should be greater']],
      ['filesystem.Filesystem/WatchDir', { path: 1, recursive: 'yes' }, ['body.path', 'body.recursive']],
    ] as [string, object, string[]][]) {
      const streams = /Start|Connect|WatchDir/.test(path);
      const { error } = streams ? (await (await open(machine, path, message)).rest()).end : { error: undefined };
      const { code, message: words } = error ?? (await call(machine, path, message)).body;
      expect(code, path).to.equal('invalid_argument');
      for (const problem of problems) expect(words).to.contain(problem);
    }
  });

  it('unknown members are ignored, as in every JSON of Protocol Buffers', async () => {
    const { status, body } = await call(machine, 'filesystem.Filesystem/Stat', { path: '/', news: { a: 1 } });
    expect([status, body.entry.path]).to.deep.equal([200, '/']);
  });

  it('a stream’s request has to be one message that is whole, not compressed and not too long', async () => {
    const start = '/process.Process/Start';
    const one = enveloped({ process: { cmd: 'true' } });
    for (const [body, code] of [
      [Buffer.alloc(0), 'invalid_argument'],
      [Buffer.alloc(4), 'invalid_argument'],
      [one.subarray(0, -1), 'invalid_argument'],
      [Buffer.concat([one, one]), 'invalid_argument'],
      [enveloped({ process: { cmd: 'true' } }, 1), 'unimplemented'],
      [Buffer.from([0, 255, 255, 255, 255]), 'resource_exhausted'],
      [Buffer.alloc(2 ** 20 + 1), 'resource_exhausted'],
    ] as const) {
      const answer = errorIn(await post(start, 'application/connect+json', body));
      expect([answer.status, answer.code], `${body.length} bytes`).to.deep.equal([200, code]);
    }
  });

  it('a unary request has at most 1 MiB', async () => {
    const input = { stdin: 'A'.repeat(2 ** 20) };
    const { status, body } = await call(machine, 'process.Process/SendInput', { process: { pid: 1 }, input });
    expect([status, body.code]).to.deep.equal([413, 'resource_exhausted']);
  });

  it('a call that names no sandbox is invalid_argument', async () => {
    const { status, body } = await call({ ...machine, headers: {} }, 'process.Process/List', {});
    expect([status, body.code]).to.deep.equal([400, 'invalid_argument']);
    expect(body.message).to.contain('E2b-Sandbox-Id');
  });

  it('an unknown procedure is unimplemented', async () => {
    for (const procedure of ['process.Process/Nope', 'filesystem.Filesystem/Nope']) {
      const { status, body } = await call(machine, procedure, {});
      expect([status, body]).to.deep.equal([
        501,
        { code: 'unimplemented', message: `There is no procedure /${procedure}` },
      ]);
      const stream = await post(`/${procedure}`, 'application/connect+json', enveloped('{}'));
      expect(errorIn(stream)).to.include({ status: 200, code: 'unimplemented' });
    }
  });
});

describe('calls of the procedures without machines', () => {
  const app = shareApp();

  it('501: every one', async () => {
    for (const { path, operation } of procedures) {
      const { status, body } = await app().http.post(path).type('json').send('{');
      expect([status, body.code], operation.operationId).to.deep.equal([501, 'unimplemented']);
    }
  });
});

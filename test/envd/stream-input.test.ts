import { hash } from 'node:crypto';
import { request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { call, enveloped, pidOf, shows, start, summary } from '../helpers/clients/connect-client.ts';
import { useMachine } from '../helpers/clients/machine-client.ts';
import { checkResponse } from '../helpers/contract.ts';

const path = '/process.Process/StreamInput';
const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64');
const first = (process: object) => ({ start: { process } });
const stdin = (text: string | Buffer) => ({ data: { input: { stdin: base64(text) } } });
const pty = (text: string) => ({ data: { input: { pty: base64(text) } } });

describe('process.Process/StreamInput of a machine', () => {
  const machine = useMachine();

  /** Begins a call, whose messages the test writes. */
  const begin = (headers: Record<string, string> = {}) => {
    const type = { 'Content-Type': 'application/connect+json' };
    const sent = request(`${machine.url}${path}`, {
      method: 'POST',
      headers: { ...machine.headers, ...type, ...headers },
    });
    const answer = new Promise<{ status: number; messages: string[] }>((resolve, reject) => {
      sent.on('error', reject).on('response', async (res) => {
        const bytes = await buffer(res);
        checkResponse('POST', path, res.statusCode ?? 0, res.headers['content-type'] ?? '', bytes.toString());
        resolve({ status: res.statusCode ?? 0, messages: split(bytes) });
      });
    });
    return { sent, answer };
  };

  /** Sends all messages. Returns the messages of the answer. */
  const send = async (...messages: (object | Buffer)[]) => {
    const { sent, answer } = begin();
    for (const message of messages) sent.write(Buffer.isBuffer(message) ? message : enveloped(message));
    sent.end();
    const { status, messages: answers } = await answer;
    expect(status).to.equal(200);
    return answers;
  };

  const errorOf = async (...messages: (object | Buffer)[]): Promise<{ code: string; message: string }> => {
    const answers = await send(...messages);
    expect(answers).to.have.length(1);
    return JSON.parse(answers[0] ?? '').error;
  };

  it('writes what its messages hold, in order, and answers once the process has taken it', async () => {
    const stream = await start(machine, { cmd: 'cat' });
    const process = { pid: await pidOf(stream) };
    const answers = await send(first(process), stdin('one '), { keepalive: {} }, stdin(''), stdin('zwölf\n'));
    expect(answers).to.deep.equal(['{}', '{}']);
    expect(await shows(stream, /\n/)).to.equal('one zwölf\n');
    await call(machine, 'process.Process/CloseStdin', { process });
    await stream.rest();
  });

  it('writes to a process that is selected by its tag, while the call goes on', async () => {
    const stream = await start(machine, { cmd: 'cat' }, { tag: 'input' });
    await pidOf(stream);
    const { sent, answer } = begin();
    sent.write(enveloped(first({ tag: 'input' })));
    for (const text of ['a\n', 'b\n']) {
      sent.write(enveloped(stdin(text)));
      expect(await shows(stream, /\n/)).to.equal(text);
    }
    sent.end();
    expect((await answer).messages).to.deep.equal(['{}', '{}']);
    await call(machine, 'process.Process/CloseStdin', { process: { tag: 'input' } });
    await stream.rest();
  });

  it('writes to a terminal', async () => {
    const size = { cols: 80, rows: 24 };
    const stream = await start(
      machine,
      { cmd: '/bin/sh', args: ['-c', 'stty -echo; echo ready; cat'] },
      { pty: { size } },
    );
    const process = { pid: await pidOf(stream) };
    await shows(stream, /ready/);
    await send(first(process), pty('hello\n'), pty('\x04'));
    const { pty: shown, end } = summary((await stream.rest()).messages);
    expect([shown, end?.exitCode]).to.deep.equal(['hello\r\n', 0]);
  });

  it('takes much more than memory may hold of it', async () => {
    const stream = await start(machine, { cmd: 'sha256sum' });
    const process = { pid: await pidOf(stream) };
    const part = Buffer.alloc(700_000, 'sandpit');
    await send(first(process), ...Array.from({ length: 20 }, () => stdin(part)));
    await call(machine, 'process.Process/CloseStdin', { process });
    const { stdout } = summary((await stream.rest()).messages);
    expect(stdout).to.contain(hash('sha256', Buffer.concat(Array.from({ length: 20 }, () => part))));
  });

  it('refuses messages in another order, of both kinds, and that break the contract', async () => {
    const stream = await start(machine, { cmd: 'cat' });
    const process = { pid: await pidOf(stream) };
    for (const [messages, code, words] of [
      [[], 'invalid_argument', 'first message'],
      [[stdin('a')], 'invalid_argument', 'first message'],
      [[first(process), first(process)], 'invalid_argument', 'Only the first message'],
      [[first(process), stdin('a'), pty('a')], 'invalid_argument', 'All messages'],
      [[first({})], 'invalid_argument', 'body.start.process'],
      [[first(process), { data: { input: { stdin: '!' } } }], 'invalid_argument', 'body.data.input.stdin'],
      [[first(process), enveloped('{')], 'invalid_argument', 'JSON decode error'],
      [[first(process), enveloped(stdin('a')).subarray(0, -1)], 'invalid_argument', 'incomplete'],
      [[first(process), enveloped(stdin('a'), 1)], 'unimplemented', 'compressed'],
      [[first(process), Buffer.from([0, 127, 0, 0, 0])], 'resource_exhausted', '1048576 bytes'],
      [[first({ pid: 4_000_000 }), stdin('a')], 'not_found', '4000000'],
      [[first(process), pty('a')], 'failed_precondition', ''],
    ] as [(object | Buffer)[], string, string][]) {
      const { code: found, message } = await errorOf(...messages);
      expect([found, message.includes(words)], `${code}: ${message}`).to.deep.equal([code, true]);
    }
    await call(machine, 'process.Process/CloseStdin', { process });
    await stream.rest();
  });

  it('ends with deadline_exceeded after Connect-Timeout-Ms, also while a process takes nothing', async () => {
    const stream = await start(machine, { cmd: 'sleep', args: ['1000'] });
    const process = { pid: await pidOf(stream) };
    const { sent, answer } = begin({ 'Connect-Timeout-Ms': '300' });
    sent.on('error', () => {});
    sent.write(enveloped(first(process)));
    for (let n = 0; n < 8; n++) sent.write(enveloped(stdin(Buffer.alloc(500_000))));
    const { messages } = await answer;
    expect(JSON.parse(messages[0] ?? '').error.code).to.equal('deadline_exceeded');
    sent.destroy();
    await call(machine, 'process.Process/SendSignal', { process, signal: 'SIGNAL_SIGKILL' });
    await stream.rest();
  });
});

function split(bytes: Buffer): string[] {
  const messages: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + 5, end).toString());
    at = end;
  }
  return messages;
}

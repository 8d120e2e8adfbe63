import { symlinkSync } from 'node:fs';
import { get } from 'node:http';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { useMachine } from '../../helpers/clients/machine-client.ts';

describe('downloading a file of a sandbox', () => {
  const machine = useMachine();
  before(async () => {
    await machine.write('notes.txt', 'hello world');
  });

  it('200: the whole file, with its type, name and time', async () => {
    const { status, text, headers } = await machine.read('notes.txt');
    expect([status, text]).to.deep.equal([200, 'hello world']);
    expect(headers.get('content-length')).to.equal('11');
    expect(headers.get('content-type')).to.equal('text/plain; charset=utf-8');
    expect(headers.get('content-disposition')).to.equal('inline; filename=notes.txt');
    expect(headers.get('accept-ranges')).to.equal('bytes');
    expect(headers.get('vary')).to.equal('Accept-Encoding');
    expect(Date.parse(headers.get('last-modified') ?? '')).to.be.above(0);
  });

  it('200: an empty file, a file of unknown type, and one whose name needs escapes', async () => {
    for (const [name, content, type, disposition] of [
      ['empty', '', 'application/octet-stream', 'inline; filename=empty'],
      ['a.nobodyknows', 'x', 'application/octet-stream', 'inline; filename=a.nobodyknows'],
      [
        'ü "1".html',
        '<p>',
        'text/html; charset=utf-8',
        'inline; filename="? \\"1\\".html"; filename*=UTF-8\'\'%C3%BC%20%221%22.html',
      ],
    ] as const) {
      await machine.write(name, content);
      const { status, text, headers } = await machine.read(name);
      expect([status, text, headers.get('content-length')]).to.deep.equal([200, content, String(content.length)]);
      expect([headers.get('content-type'), headers.get('content-disposition')]).to.deep.equal([type, disposition]);
      expect(headers.get('content-security-policy')).to.contain("default-src 'none'");
    }
  });

  it('206: a range; 200 for several, for another unit and for one that is no range', async () => {
    for (const [range, text, shown] of [
      ['bytes=0-4', 'hello', 'bytes 0-4/11'],
      ['bytes=6-', 'world', 'bytes 6-10/11'],
      ['bytes=-3', 'rld', 'bytes 8-10/11'],
      ['bytes=6-100', 'world', 'bytes 6-10/11'],
    ] as const) {
      const answer = await machine.read('notes.txt', { Range: range });
      expect([answer.status, answer.text, answer.headers.get('content-range')]).to.deep.equal([206, text, shown]);
      expect(answer.headers.get('content-length')).to.equal(String(text.length));
    }
    for (const range of ['bytes=0-1,5-6', 'lines=0-1', 'bytes=x']) {
      const { status, text } = await machine.read('notes.txt', { Range: range });
      expect([status, text], range).to.deep.equal([200, 'hello world']);
    }
  });

  it('206: only if the file is still that of If-Range', async () => {
    const time = (await machine.read('notes.txt')).headers.get('last-modified') ?? '';
    const ask = async (from: string) =>
      (await machine.read('notes.txt', { Range: 'bytes=0-4', 'If-Range': from })).text;
    expect(await ask(time)).to.equal('hello');
    expect(await ask('Thu, 01 Jan 1970 00:00:00 GMT')).to.equal('hello world');
    expect(await ask('"an entity tag"')).to.equal('hello world');
  });

  it('416: a range behind the end', async () => {
    const { status, headers, json } = await machine.read('notes.txt', { Range: 'bytes=11-' });
    expect([status, headers.get('content-range')]).to.deep.equal([416, 'bytes */11']);
    expect(json()).to.deep.equal({ code: 416, message: 'The file has 11 bytes' });
  });

  it('304: a file that has not changed since then', async () => {
    const time = (await machine.read('notes.txt')).headers.get('last-modified') ?? '';
    const ask = async (headers: Record<string, string>) => {
      const { status, text } = await machine.read('notes.txt', headers);
      return [status, text];
    };
    expect(await ask({ 'If-Modified-Since': time })).to.deep.equal([304, '']);
    expect(await ask({ 'If-Modified-Since': new Date(Date.parse(time) - 1000).toUTCString() })).to.deep.equal([
      200,
      'hello world',
    ]);
    expect(await ask({ 'If-Modified-Since': 'yesterday' })).to.deep.equal([200, 'hello world']);
    expect(await ask({ 'If-Modified-Since': time, 'If-None-Match': '"x"' })).to.deep.equal([200, 'hello world']);
  });

  it('compresses for a client that accepts gzip only, and sends the file as it is otherwise', async () => {
    for (const [accepted, coding] of [
      ['gzip', 'gzip'],
      ['gzip;q=1.0, identity;q=0.5', 'gzip'],
      ['identity;q=0, gzip', 'gzip'],
      ['gzip, deflate, br', null],
      ['identity', null],
      ['*', null],
      ['br', null],
    ] as const) {
      const response = await fetchRaw(`/files?path=notes.txt`, accepted);
      expect(response.coding, accepted).to.equal(coding);
      const bytes = coding ? gunzipSync(response.bytes) : response.bytes;
      expect(bytes.toString()).to.equal('hello world');
      expect(response.vary).to.equal('Accept-Encoding');
    }
    expect((await fetchRaw('/files?path=notes.txt', 'gzip', { Range: 'bytes=0-4' })).coding).to.equal(null);
  });

  it('406: a client that accepts neither', async () => {
    const { status, json } = await machine.read('notes.txt', { 'Accept-Encoding': 'br, identity;q=0' });
    expect([status, json()]).to.deep.equal([
      406,
      { code: 406, message: 'Accept gzip or identity as the content coding' },
    ]);
  });

  it('400: a directory or a device; 404: nothing there; 401: no such user', async () => {
    for (const headers of [{}, { Range: 'bytes=0-1' }]) {
      for (const [path, status, message] of [
        ['/tmp', 400, "path '/tmp' is a directory"],
        ['', 400, /is a directory$/],
        ['/dev/zero', 400, "path '/dev/zero' is not a regular file"],
        ['/dev/full', 400, "path '/dev/full' is not a regular file"],
        ['/nothing/here', 404, "path '/nothing/here' does not exist"],
      ] as const) {
        const answer = await machine.read(path, headers);
        expect(answer.status, path).to.equal(status);
        expect(answer.json().message).to.match(message instanceof RegExp ? message : new RegExp(`^${message}$`));
        expect(answer.headers.get('content-disposition')).to.equal(null);
      }
    }
    const { status, json } = await machine.call('/files?path=a&username=nobody-has-this-name');
    expect([status, json().message]).to.deep.equal([401, "invalid username: 'nobody-has-this-name'"]);
  });

  it('follows links, and sends files without a size whole', async () => {
    const read = await machine.read('/proc/self/limits');
    expect(read.text).to.match(/^Limit/);
    expect(read.headers.get('content-length')).to.be.oneOf([null, String(read.bytes.length)]);
    const [written] = JSON.parse((await machine.write('linked.txt', 'behind the link')).text);
    symlinkSync(written.path, join(dirname(written.path), 'link.txt'));
    for (const headers of [{}, { Range: 'bytes=0-' }] as Record<string, string>[]) {
      const linked = await machine.read('link.txt', headers);
      expect([linked.text, linked.headers.get('content-length')]).to.deep.equal(['behind the link', '15']);
    }
  });

  it('400: a path with NUL, and one that is too long', async () => {
    for (const [path, message] of [
      ['a\0b', 'A path has a NUL character in it'],
      ['a'.repeat(4096), 'A path is longer than 4095 bytes'],
      ['ü'.repeat(2048), 'A path is longer than 4095 bytes'],
    ] as const) {
      expect((await machine.read(path)).json()).to.deep.equal({ code: 400, message });
      expect((await machine.write(path, 'x')).json()).to.deep.equal({ code: 400, message });
    }
    expect((await machine.read(`${'../'.repeat(1000)}proc/version`)).status).to.equal(200);
  });

  /** Node's fetch would decompress the body. */
  const fetchRaw = async (path: string, accepted: string, headers: Record<string, string> = {}) => {
    return new Promise<{ coding: string | null; vary: string | undefined; bytes: Buffer }>((resolve, reject) => {
      get(
        `${machine.url}${path}`,
        { headers: { ...machine.headers, 'Accept-Encoding': accepted, ...headers } },
        (res) => {
          const coding = res.headers['content-encoding'] ?? null;
          buffer(res).then((bytes) => resolve({ coding, vary: res.headers.vary, bytes }), reject);
        },
      ).on('error', reject);
    });
  };
});

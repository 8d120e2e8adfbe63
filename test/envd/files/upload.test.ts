import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { useMachine } from '../../helpers/clients/machine-client.ts';

describe('uploading a file to a sandbox', () => {
  const machine = useMachine();

  const writtenTo = async (...args: Parameters<typeof machine.write>) => {
    const { status, text } = await machine.write(...args);
    expect(status, text).to.equal(200);
    return JSON.parse(text)[0];
  };

  it('200: makes the directories, replaces the content, and says where the file is', async () => {
    const first = await writtenTo('deep/er/a.txt', 'a long first content');
    expect(first).to.include({ name: 'a.txt', type: 'file' }).and.not.to.have.property('metadata');
    expect(first.path).to.match(/^\/.*\/deep\/er\/a\.txt$/);
    expect(await writtenTo('~/deep/./x/../er/a.txt', 'short')).to.deep.equal(first);
    expect((await machine.read(first.path)).text).to.equal('short');
  });

  it('200: bytes of every value, in pieces and without a length', async () => {
    const bytes = randomBytes(3_000_000);
    async function* pieces() {
      for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
    }
    await writtenTo('random.bin', pieces());
    expect((await machine.read('random.bin')).bytes.equals(bytes)).to.equal(true);
  });

  it('200: an empty body makes an empty file', async () => {
    await writtenTo('empty.txt', '');
    expect((await machine.read('empty.txt')).headers.get('content-length')).to.equal('0');
  });

  it('200: a compressed body, whose length may grow a thousandfold', async () => {
    const bomb = Buffer.alloc(64 * 2 ** 20);
    await writtenTo('zeros', gzipSync(bomb), { 'Content-Encoding': 'gzip' });
    const { bytes } = await machine.read('zeros');
    expect(sha256(bytes)).to.equal(sha256(bomb));
    await writtenTo('plain.txt', 'as it is', { 'Content-Encoding': 'identity' });
    expect((await machine.read('plain.txt')).text).to.equal('as it is');
  });

  it('400: a body that is not compressed as it says', async () => {
    const whole = gzipSync(randomBytes(100_000));
    for (const body of ['no gzip', whole.subarray(0, 50_000), whole.with(60_000, 1 + (whole[60_000] ?? 0))]) {
      const { status, json } = await machine.write('broken', body as Buffer, { 'Content-Encoding': 'gzip' });
      expect([status, json().message]).to.deep.equal([400, 'The body is not gzip, as its Content-Encoding says']);
    }
    const { status, json } = await machine.write('broken', 'x', { 'Content-Encoding': 'br' });
    expect(status).to.equal(400);
    expect(json().message).to.equal('The Content-Encoding br is not supported: send gzip, or no coding');
  });

  it('200: metadata replaces all metadata of the file', async () => {
    const first = await writtenTo('meta.txt', 'x', { 'X-Metadata-Author': 'me', 'x-metadata-purpose': 'test' });
    expect(first.metadata).to.deep.equal({ author: 'me', purpose: 'test' });
    expect((await writtenTo('meta.txt', 'x', { 'X-Metadata-Other': '1', 'X-Metadata-': '' })).metadata).to.deep.equal({
      other: '1',
    });
    expect(await writtenTo('meta.txt', 'x')).not.to.have.property('metadata');
  });

  it('400: no path, another media type, or a directory', async () => {
    const { headers } = machine;
    const post = async (path: string, type: string) => {
      const answer = await machine.call(path, {
        method: 'POST',
        headers: { ...headers, 'Content-Type': type },
        body: 'x',
      });
      return [answer.status, answer.json().message];
    };
    expect(await post('/files', 'application/octet-stream')).to.deep.equal([
      400,
      'Name the file in the query parameter path',
    ]);
    for (const type of ['application/json', 'text/plain', 'multipart/mixed; boundary=x', '']) {
      const expected = [400, 'Send multipart/form-data or application/octet-stream'];
      expect(await post('/files?path=a', type), type).to.deep.equal(expected);
    }
    expect(await post('/files?path=/tmp', 'application/octet-stream')).to.deep.equal([
      400,
      "path '/tmp' is a directory",
    ]);
  });

  it('404: where no file can be; 403: where none may be', async () => {
    expect((await machine.write('/proc/nothing', 'x')).status).to.equal(404);
    expect((await machine.write('/sys/kernel/uevent_seqnum', 'x')).status).to.equal(403);
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

import { expect } from 'chai';
import { useMachine } from '../../helpers/clients/machine-client.ts';

const boundary = 'a-boundary';

/** Returns a part of a form. */
function part(disposition: string, content: string): string {
  return `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
}

function file(name: string, content: string): string {
  return part(`name="file"; filename="${name}"`, content);
}

const end = `--${boundary}--\r\n`;

describe('uploading files to a sandbox as a form', () => {
  const machine = useMachine();

  const post = (
    body: string | AsyncIterable<Uint8Array>,
    query = '',
    type = `multipart/form-data; boundary=${boundary}`,
  ) =>
    machine.call(`/files${query}`, {
      method: 'POST',
      headers: { ...machine.headers, 'Content-Type': type },
      body,
      duplex: 'half',
    } as RequestInit & { headers: Record<string, string> });
  const refused = async (...args: Parameters<typeof post>) => {
    const { status, json } = await post(...args);
    expect(status).to.equal(400);
    return json().message;
  };
  const content = async (path: string) => (await machine.read(path)).text;

  it('200: several files, each at the path that its part names', async () => {
    const { status, text } = await post(file('one.txt', '1') + file('form/two ü.txt', '2') + file('three', '') + end);
    expect(status).to.equal(200);
    expect(JSON.parse(text).map(({ name }: { name: string }) => name)).to.deep.equal(['one.txt', 'two ü.txt', 'three']);
    expect(await Promise.all(['one.txt', 'form/two ü.txt', 'three'].map(content))).to.deep.equal(['1', '2', '']);
  });

  it('200: the path in the query counts more than the file name', async () => {
    await post(file('ignored.txt', 'by query') + end, '?path=chosen.txt');
    expect(await content('chosen.txt')).to.equal('by query');
    expect((await machine.read('ignored.txt')).status).to.equal(404);
  });

  it('200: parts with another name are passed over, however long', async () => {
    const others =
      part('name="note"', 'x'.repeat(100_000)) + part('name="image"; filename="x.png"', 'y'.repeat(200_000));
    const { text } = await post(others + file('among.txt', 'others') + others + end);
    expect(JSON.parse(text)).to.have.length(1);
    expect(await content('among.txt')).to.equal('others');
    expect((await machine.read('x.png')).status).to.equal(404);
  });

  it('200: a thousand small files, in order, and a long one among short ones', async () => {
    const names = Array.from({ length: 1000 }, (_, n) => `many/${n}.txt`);
    const { text } = await post(names.map((name, n) => file(name, `content ${n}`)).join('') + end);
    expect(JSON.parse(text).map(({ path }: { path: string }) => path.slice(path.indexOf('many/')))).to.deep.equal(
      names,
    );
    expect(await content('many/999.txt')).to.equal('content 999');
    const long = 'long '.repeat(1_000_000);
    await post(file('a', 'a') + file('long', long) + file('b', 'b') + end);
    expect([await content('a'), (await content('long')) === long, await content('b')]).to.deep.equal(['a', true, 'b']);
  });

  it("200: a part without a file name, as E2B's clients send short texts, at the path of the query", async () => {
    const { status } = await post(part('name="file"', 'häst') + end, '?path=named.txt');
    expect([status, await content('named.txt')]).to.deep.equal([200, 'häst']);
    const long = part('name="file"', 'x'.repeat(70_000)) + end;
    expect(await refused(long, '?path=named.txt')).to.match(
      /^A part named file without a file name has more than 65536/,
    );
    expect(await content('named.txt')).to.equal('häst');
  });

  it('200: a form that arrives byte by byte', async () => {
    const bytes = Buffer.from(file('slow.txt', 'bit by bit') + file('slow2.txt', 'again') + end);
    async function* pieces() {
      for (const byte of bytes) yield Uint8Array.of(byte);
    }
    expect((await post(pieces())).status).to.equal(200);
    expect([await content('slow.txt'), await content('slow2.txt')]).to.deep.equal(['bit by bit', 'again']);
  });

  it('400: two files with one path; the first is written', async () => {
    const home = JSON.parse((await machine.write('x', '')).text)[0].path.replace(/x$/, '');
    for (const again of ['twice.txt', './twice.txt', 'y/../twice.txt', '~/twice.txt', `${home}twice.txt`]) {
      const message = await refused(file('twice.txt', 'first') + file(again, 'second') + end);
      expect(message, again).to.equal(`Two files of the form have the path ${home}twice.txt: the first was written`);
      expect(await content('twice.txt')).to.equal('first');
    }
    expect(await refused(file('a', '1') + file('b', '2') + end, '?path=c')).to.match(/^Two files/);
  });

  it('400: a file without a name, a form without a file, and a form that is none', async () => {
    expect(await refused(part('name="file"', 'x') + end)).to.equal('A part named file has no file name');
    expect(await refused(file('', 'x') + end)).to.equal('A part named file has no file name');
    const none = 'The form has no part named file with a file name';
    expect(await refused(part('name="other"', 'x') + end)).to.equal(none);
    expect(await refused(end)).to.equal(none);
    for (const body of ['', 'no form', file('cut.txt', 'x'), `--${boundary}\r\n`]) {
      expect(await refused(body), body).to.match(/^The form can't be read: |^The form has no part/);
    }
    expect(await refused('x', '', 'multipart/form-data')).to.equal(
      "The form can't be read: Multipart: Boundary not found",
    );
  });

  it('400: a path with NUL or a directory; files before it are written, and none after it', async () => {
    expect(await refused(file('before.txt', '1') + file('a\0b', '2') + file('after.txt', '3') + end)).to.match(
      /NUL|form/,
    );
    expect(await refused(file('before.txt', '1') + file('/tmp', '2') + file('after.txt', '3') + end)).to.contain(
      'is a directory',
    );
    expect(await content('before.txt')).to.equal('1');
    expect((await machine.read('after.txt')).status).to.equal(404);
  });

  it('400: more parts than a form may have', async () => {
    const { status, json } = await post(part('name="x"', '').repeat(10_001) + end);
    expect([status, json().message]).to.deep.equal([400, 'The form has more than 10000 parts']);
  });
});

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { pack } from 'tar-stream';
import type { BuildFiles } from '../../app/machines/build-files/build-files.ts';
import { closeNow, listen } from '../helpers/listen.ts';
import { apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { FakeDriver } from '../lifecycle/fake-driver.ts';
import { type Builds, type Requested, startBuilds } from './setup.ts';

const hash = (digit: string) => digit.repeat(64);

/** A tar archive of one file with this content. */
async function archive(content: string | Buffer): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name: 'file' }, content);
  tar.finalize();
  return buffer(tar);
}

/** Yields a piece, and then what writing fails with on a full disk. */
async function* full(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(1000);
  throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
}

describe('files of template builds', () => {
  let one = {} as Builds;
  let build = {} as Requested;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    one = await startBuilds(new FakeDriver(), { requestSeconds: 1, templateFilesMb: 4 });
    build = await one.request('mine');
    const server = createServer(one.app.listener);
    url = `http://127.0.0.1:${await listen(server)}`;
    close = () => closeNow(server);
  });

  afterEach(() => close());

  let url = '';
  let close = () => {};
  const place = async (which = hash('a'), template = build.templateID) =>
    one.e2b.get(`/templates/${template}/files/${which}`).set('Host', new URL(url).host);
  const put = async (address: string, body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    fetch(address, { method: 'PUT', body, headers });
  const upload = async (body: Buffer, which = hash('a')) => {
    const { status } = await put((await place(which)).body.url, new Uint8Array(body));
    return status;
  };
  const folder = () => {
    const [name = ''] = readdirSync(one.app.dir).filter((each) => each.startsWith('template-files-'));
    return join(one.app.dir, name, String(one.alice.id));
  };
  const stored = () => (existsSync(folder()) ? readdirSync(folder()).toSorted() : []);
  const opened = async (which = hash('a')) => {
    const files = one.app.server.context.machines?.buildFiles;
    const file = await files?.open(one.alice.id, { templateId: build.templateID, hash: which });
    const content = (await file?.readFile()) ?? null;
    await file?.close();
    return content;
  };

  itHere('201: an address to upload to, on the host that was called; what is there can be replaced', async () => {
    const plain = await archive('one');
    const first = await place();
    expect([first.status, first.body.present]).to.deep.equal([201, false]);
    expect(new URL(first.body.url).origin).to.equal(new URL(url).origin);
    expect((await put(first.body.url, new Uint8Array(plain))).status).to.equal(204);
    expect((await place()).body.present).to.equal(true);
    expect(await opened()).to.deep.equal(plain);
    const packed = gzipSync(await archive('two'));
    expect(await upload(packed)).to.equal(204);
    expect(await opened()).to.deep.equal(packed);
    expect(stored()).to.deep.equal([hash('a')]);
    expect(statSync(join(folder(), hash('a'))).mode & 0o777).to.equal(0o600);
  });

  itHere('400, 401, 403, 404: no id, no key, a key that may only read, another user’s template', async () => {
    const { app, alice } = one;
    const bob = await app.addUser('bob');
    const path = `/templates/${build.templateID}/files/${hash('a')}`;
    expect((await place('../x')).status).to.equal(404);
    expect((await place('A'.repeat(64))).status).to.equal(400);
    expect((await place(hash('a'), 'a%00b')).status).to.equal(400);
    expect((await app.http.get(path)).status).to.equal(401);
    const { body } = await app.http
      .post('/v1/api-keys/')
      .set(apiKey(alice))
      .send({ permissions: ['read'] });
    expect((await app.http.get(path).set('X-API-Key', body.api_key)).status).to.equal(403);
    for (const refused of [await app.http.get(path).set(apiKey(bob)), await place(hash('a'), 'other')]) {
      expect([refused.status, refused.body.message]).to.satisfy(
        ([code, words]: [number, string]) => code === 404 && /^template '.*' not found$/.test(words),
      );
    }
  });

  itHere('403: another signature, file, template or time; 400: none; 404: the template is gone', async () => {
    const { app, e2b } = one;
    const { url: address } = (await place()).body;
    const tar = new Uint8Array(await archive('x'));
    const other = await one.request('other');
    for (const wrong of [
      address.replace(/signature=./, (start: string) => (start.endsWith('0') ? 'signature=1' : 'signature=0')),
      address.replace(hash('a'), hash('b')),
      address.replace(build.templateID, other.templateID),
      address.replace(/expires=\d/, 'expires=9'),
    ]) {
      expect((await put(wrong, tar)).status, wrong).to.equal(403);
    }
    expect((await put(address.replace(/&signature.*/, ''), tar)).status).to.equal(400);
    const now = app.clock.now;
    app.clock.now += 3_601_000;
    expect((await put(address, tar)).status).to.equal(403);
    app.clock.now = now;
    await e2b.remove('/templates/mine');
    expect((await put(address, tar)).status).to.equal(404);
    expect(stored()).to.deep.equal([]);
  });

  itHere('400: what is no archive; 413: too much of it; nothing of it stays, and an earlier file does', async () => {
    const plain = await archive('kept');
    await upload(plain);
    const damaged = Buffer.from(plain);
    damaged[0] = 0x78;
    for (const body of [
      Buffer.from('no tar'),
      Buffer.alloc(0),
      damaged,
      gzipSync('no tar'),
      Buffer.from([0x1f, 0x8b, 8]),
    ]) {
      expect(await upload(body), body.toString('hex', 0, 8)).to.equal(400);
    }
    expect(await upload(Buffer.alloc(1024), hash('e')), 'an empty archive').to.equal(204);
    const { url: address } = (await place()).body;
    const large = await archive(Buffer.alloc(1_100_000));
    expect((await put(address, new Uint8Array(large))).status).to.equal(413);
    const unknownLength = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new Uint8Array(large));
        controller.close();
      },
    });
    const chunked = await fetch(address, { method: 'PUT', body: unknownLength, duplex: 'half' } as RequestInit);
    expect(chunked.status).to.equal(413);
    await until('removal', () => stored().length === 2);
    expect(await opened()).to.deep.equal(plain);
  });

  itHere('408: a body that stalls; 429: too many at once; a client that leaves: nothing stays', async () => {
    const { url: address } = (await place()).body;
    const begin = () => {
      const request = httpRequest(address, { method: 'PUT', headers: { 'Content-Length': '5000' } });
      request.on('error', () => {});
      request.write(Buffer.alloc(1000));
      return request;
    };
    const open = Array.from({ length: 8 }, begin);
    await until('eight uploads', () => stored().length === 8);
    const ninth = await put(address, new Uint8Array(await archive('x')));
    expect([ninth.status, ninth.headers.get('retry-after')]).to.deep.equal([429, '1']);
    open.slice(1).forEach((request) => void request.destroy());
    const [stalled] = open;
    const status = await new Promise((resolve) => stalled?.once('response', (res) => resolve(res.statusCode)));
    expect(status).to.equal(408);
    await until('removal', () => stored().length === 0);
  });

  itHere('507: a full disk; a row whose file is damaged or lost counts for nothing', async () => {
    await upload(await archive('x'));
    writeFileSync(join(folder(), hash('a')), 'cut off');
    expect((await place()).body.present).to.equal(false);
    const files = one.app.server.context.machines?.buildFiles as BuildFiles;
    const receive = files.receive.bind(files);
    files.receive = (owner, file) => receive(owner, file, full());
    expect(await upload(await archive('x'))).to.equal(507);
    expect(stored()).to.deep.equal([hash('a')]);
    expect(readFileSync(join(folder(), hash('a')), 'utf8')).to.equal('cut off');
  });

  itHere('the least used give way to a user’s bound; those of other users stay', async () => {
    const { app } = one;
    const large = await archive(Buffer.alloc(990_000));
    for (const digit of ['1', '2', '3', '4']) {
      expect(await upload(large, hash(digit))).to.equal(204);
      app.clock.now += 1000;
    }
    await place(hash('1'));
    app.clock.now += 1000;
    expect(await upload(large, hash('5'))).to.equal(204);
    await until('removal', () => stored().length === 4);
    expect(stored()).to.deep.equal(['1', '3', '4', '5'].map(hash));
  });

  itHere('what nobody uses for a week, what a crash has left and what its template had goes', async () => {
    const { app, e2b } = one;
    const files = app.server.context.machines?.buildFiles;
    await upload(await archive('x'));
    writeFileSync(join(folder(), `${hash('b')}.x.part`), 'left');
    writeFileSync(join(folder(), hash('c')), 'left');
    files?.sweep();
    await until('removal', () => stored().length === 1);
    await e2b.remove('/templates/mine');
    await until('removal', () => stored().length === 0);
    build = await one.request('mine');
    await upload(await archive('x'));
    app.clock.now += 8 * 86_400_000;
    files?.sweep();
    await until('removal', () => stored().length === 0);
  });
});

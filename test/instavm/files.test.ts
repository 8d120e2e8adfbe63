import { expect } from 'chai';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { apiKey } from '../helpers/server.ts';

describe("InstaVM's files in a machine", () => {
  let { app, alice, bob, post } = {} as Instavm;
  let session: string;
  beforeEach(async () => {
    ({ app, alice, bob, post } = await startInstavm({ machines: 'process' }));
    session = (await app.http.post('/v1/sessions/session').send({ api_key: alice.key })).body.session_id;
  });

  const upload = (remote_path: string, content: Buffer | string, more: Record<string, string> = {}, caller = alice) =>
    app.http
      .post('/upload')
      .set(apiKey(caller))
      .field({ session_id: session, remote_path, recursive: 'false', ...more })
      .attach('file', Buffer.from(content), 'a folder/of mine/name.txt');
  const download = (filename: string, caller = alice) =>
    app.http.post('/download').set(apiKey(caller)).type('form').send({ filename, session_id: session });
  const read = async (filename: string) => Buffer.from((await download(filename)).body.content, 'base64');

  it('are written, also below new directories, and read back byte by byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_001 }, (_, n) => (n * 7) % 256));
    const { status, body } = await upload('new/folder/é.bin', bytes);
    expect([status, body.size]).to.deep.equal([200, bytes.length]);
    expect(body.path).to.match(/\/new\/folder\/é\.bin$/);
    expect((await read('new/folder/é.bin')).equals(bytes)).to.equal(true);
    await upload('new/folder/é.bin', 'ab');
    expect(String(await read(body.path))).to.equal('ab');
    const { stdout } = (await post('/execute', { session_id: session, command: 'cat new/folder/*', language: 'bash' }))
      .body;
    expect(stdout).to.equal('ab');
  });

  it('keep their own name in a directory', async () => {
    await upload('folder/', 'one');
    expect((await upload('folder', 'two')).body.path).to.match(/\/folder\/name\.txt$/);
    expect(String(await read('folder/name.txt'))).to.equal('two');
  });

  it("have a line break as content if they are empty, which InstaVM's client decodes to nothing", async () => {
    await upload('empty', '');
    expect((await download('empty')).body).to.deep.equal({ filename: 'empty', size: 0, content: '\n' });
  });

  it("403: a file that is not there, a directory, and someone else's session", async () => {
    const missing = await download('nothing');
    expect([missing.status, missing.body.detail]).to.deep.equal([403, missing.body.detail]);
    expect(missing.body.detail).to.match(/nothing/);
    expect((await download('/')).status).to.equal(403);
    expect((await download('a', bob)).status).to.equal(403);
    expect((await upload('a', 'x', {}, bob)).body.detail).to.equal(`There is no session ${session}`);
    await upload('a', 'x');
    expect((await upload('a/b', 'x')).status).to.equal(403);
  });

  it('422: a form without its fields, or that is none; 501: a folder', async () => {
    const bare = await app.http.post('/upload').set(apiKey(alice)).attach('file', Buffer.from('x'), 'a');
    expect([bare.status, bare.body.detail]).to.deep.equal([422, 'Send session_id and remote_path before the file']);
    const fields = await app.http.post('/upload').set(apiKey(alice)).field({ session_id: session, remote_path: 'a' });
    expect([fields.status, fields.body.detail]).to.deep.equal([422, 'The form has no part named file']);
    expect((await app.http.post('/upload').set(apiKey(alice)).type('json').send('{}')).status).to.equal(422);
    expect((await upload('a', 'x', { recursive: 'true' })).status).to.equal(501);
  });
});

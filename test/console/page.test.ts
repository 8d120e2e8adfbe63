import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { itHere, startApp } from '../helpers/server.ts';

const moduleOf = /^(?:import|\} from) ?(?:.* from )?'([^']+)';$/gm;
/** Loaded when somebody opens a terminal or a plot. */
const later = ['uplot', '@xterm/xterm', '@xterm/addon-fit'];

describe('the console', () => {
  it('loads every part from this server, by relative addresses, under a policy without unsafe-inline', async () => {
    const { http } = await startApp();
    const page = await http.get('/console/');
    expect(page.headers['content-type']).to.match(/^text\/html/);
    expect(page.text).not.to.match(/https?:|(src|href)="\//);
    const policy = page.headers['content-security-policy'];
    expect(policy).to.contain("default-src 'none'").and.not.to.contain('unsafe');
    const [, nonce] = /data-nonce="([^"]{20,})"/.exec(page.text) ?? [];
    expect(policy).to.contain(`'nonce-${nonce}'`);
    expect((await http.get('/console/')).text, 'a nonce is used once').not.to.contain(nonce);
  });

  it('is less than 150 kB, compressed, until a terminal or a plot is opened', async () => {
    const { http } = await startApp();
    const map = /<script type="importmap">(.*)<\/script>/.exec((await http.get('/console/')).text)?.[1] ?? '';
    const libraries: Record<string, string> = JSON.parse(map).imports;
    const found = new Map<string, number>();
    const visit = async (path: string) => {
      if (found.has(path)) return;
      const answer = await http.get(path).buffer(true);
      expect([answer.status, answer.headers['content-type']], path).to.deep.equal([
        200,
        'text/javascript; charset=utf-8',
      ]);
      found.set(path, gzipSync(answer.text).length);
      for (const [, name = ''] of answer.text.matchAll(moduleOf)) {
        if (later.includes(name)) continue;
        const library = libraries[name]?.slice(2);
        await visit(library === undefined ? new URL(name, `http://h${path}`).pathname : `/console/${library}`);
      }
    };
    await visit('/console/page/main.ts');
    found.set('style', gzipSync((await http.get('/console/page/style.css')).text).length);
    expect([...found.keys()]).to.include.members(['/console/library/preact.mjs', '/console/page/sandboxes/page.ts']);
    expect([...found.values()].reduce((sum, size) => sum + size)).to.be.below(150_000);
    for (const name of later)
      expect((await http.get(`/console/${libraries[name]?.slice(2)}`)).status, name).to.equal(200);
  });

  it('sends its files compressed to clients that take that, and no other files', async () => {
    const { http } = await startApp();
    const plain = await http.get('/console/page/main.ts').set('Accept-Encoding', 'identity');
    const packed = await http.get('/console/page/main.ts').set('Accept-Encoding', 'gzip');
    expect([plain.headers['content-encoding'], packed.headers['content-encoding']]).to.deep.equal([undefined, 'gzip']);
    expect(packed.text).to.equal(plain.text);
    const others = [
      'page/nope.ts',
      'page/tsconfig.json',
      'page/..%2froutes.ts',
      'page/%2e%2e/routes.ts',
      'page/a/b/c.ts',
    ];
    for (const path of [...others, 'library/openapi.yaml', 'library/agent-x64', 'nope'])
      expect((await http.get(`/console/${path}`)).status, path).to.equal(404);
  });

  it('is where / and /console redirect browsers to', async () => {
    const { http } = await startApp();
    for (const path of ['/', '/console']) {
      const answer = await http.get(path).set('Accept', 'text/html');
      expect([answer.status, answer.headers.location], path).to.deep.equal([302, 'console/']);
    }
  });

  it('can be turned off', async () => {
    const { http } = await startApp({ console: false });
    expect((await http.get('/console/')).status).to.equal(404);
    expect((await http.get('/console/page/main.ts')).status).to.equal(404);
    expect((await http.get('/').set('Accept', 'text/html')).headers.location).to.equal('docs');
  });
});

describe('POST /v1/auth/link', () => {
  itHere('signs in once, within ten minutes', async () => {
    const { http, server, addUser, clock } = await startApp();
    const { id, name } = await addUser('ann');
    const redeem = (token: unknown) => http.post('/v1/auth/link').send({ token });
    const token = server.context.links.create({ id, name });
    const late = server.context.links.create({ id, name });
    const { status, body } = await redeem(token);
    expect([status, body.token_type]).to.deep.equal([200, 'bearer']);
    const me = await http.get('/v1/users/me').set('Authorization', `Bearer ${body.access_token}`);
    expect(me.body.name).to.equal('ann');
    expect((await redeem(token)).body.detail).to.match(/^This link was used already/);
    clock.now += 600_000;
    expect((await redeem(late)).status).to.equal(401);
    expect((await redeem(7)).status).to.equal(422);
    expect((await http.post('/v1/auth/link').set('Content-Type', 'text/plain').send('x')).status).to.equal(415);
    expect((await redeem('x'.repeat(2 ** 20))).status).to.equal(413);
  });

  it('429: too many links that are wrong', async () => {
    const { http } = await startApp({ loginAttempts: 2 });
    const statuses: number[] = [];
    for (let n = 0; n < 3; n++) statuses.push((await http.post('/v1/auth/link').send({ token: `wrong${n}` })).status);
    expect(statuses).to.deep.equal([401, 401, 429]);
  });
});

describe('the filters of GET /v1/vms/', () => {
  it('select by metadata, status and template, on every page', async () => {
    const { http, addUser, insert } = await startApp();
    const ann = await addUser('ann');
    const list = (query: object) => http.get('/v1/vms/').set('X-API-Key', ann.key).query(query);
    const ids = async (query: object) => (await list(query)).body.map(({ vm_id: id }: { vm_id: string }) => id);
    const stored = { metadata: { env: 'dev', n: 1 } };
    await insert(ann, { id: 'a1', ...stored, templateId: 'base' });
    await insert(ann, { id: 'a2', ...stored, templateId: 'base:v2', status: 'paused' });
    await insert(ann, { id: 'a3', metadata: { env: 'prod' }, status: 'killed' });
    await insert(await addUser('bob'), { id: 'b1', ...stored });
    expect(await ids({ metadata: '{"env":"dev"}' })).to.have.members(['a1', 'a2']);
    expect(await ids({ statuses: ['paused', 'killed'] })).to.have.members(['a2', 'a3']);
    expect(await ids({ template_id: 'Base' })).to.have.members(['a1', 'a2']);
    const first = await list({ metadata: '{"n":1}', limit: 1 });
    const rest = await ids({ metadata: '{"n":1}', limit: 1, cursor: first.headers['x-next-cursor'] });
    expect([first.body[0].vm_id, ...rest]).to.have.members(['a1', 'a2']);
  });

  it('422: the errors of the contract, all at once', async () => {
    const { http, addUser } = await startApp();
    const { key } = await addUser('ann');
    const { status, body } = await http.get('/v1/vms/').set('X-API-Key', key).query({ metadata: '{a', limit: 0 });
    const places = body.detail.map(({ loc }: { loc: string[] }) => loc.join('.'));
    expect([status, places]).to.deep.equal([422, ['query.metadata', 'query.limit']]);
    expect((await http.get('/v1/vms/').set('X-API-Key', key).query({ statuses: 'asleep' })).status).to.equal(422);
  });
});

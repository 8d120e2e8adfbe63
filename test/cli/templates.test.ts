import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { freePort } from '../helpers/listen.ts';
import { commandsOn } from '../helpers/processes/commands.ts';
import { sandpit, serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const key = `e2b_${'5'.repeat(40)}`;
const image = 'registry.example/python:3.12';

describe('sandpit templates', () => {
  let db: string;
  beforeEach(async () => {
    db = join(temporaryDirectory(), 'sandpit.db');
    await runs('users', 'create', 'alice');
  });

  const { runs, fails } = commandsOn(() => db);
  const listed = async () => JSON.parse(await runs('templates', 'list', '--json'));

  it('adds, replaces, lists and removes templates; base exists from the start', async () => {
    const base = { name: 'base', allows_sudo: false, runtime: null, start: null, ready: null, created_at: null };
    expect(JSON.parse(await runs('templates', 'list', '--json', '--image', 'x'))).to.deep.equal([
      { ...base, image: 'x' },
    ]);
    const commands = ['--start', 'python3 -m http.server 8000 --bind 127.0.0.1', '--ready', 'true'];
    await runs('templates', 'add', 'Python:3.12', '--image', image, '--sudo', '--runtime', 'runsc', ...commands);
    const [, added] = await listed();
    expect(added).to.deep.include({
      name: 'python:3.12',
      image,
      allows_sudo: true,
      runtime: 'runsc',
      start: commands[1],
      ready: 'true',
    });
    expect(await runs('templates', 'list')).to.match(
      /^NAME .* RUNTIME +START +READY +CREATED\nbase +docker\.io\S+ +no( +-){4}\npython:3\.12 +\S+ +yes +runsc +python3 -m http\.server 8000 -… +true +\S+Z\n$/,
    );
    await runs('templates', 'add', 'python:3.12', '--image', 'node:24', '--replace');
    expect((await listed())[1]).to.deep.include({ image: 'node:24', allows_sudo: false, runtime: null, start: null });
    expect(await runs('templates', 'remove', 'python:3.12')).to.equal('Removed python:3.12.\n');
    expect(await listed()).to.have.length(1);
    await runs('templates', 'add', 'base', '--image', 'node:24');
    expect((await listed()).map((template: { image: string }) => template.image)).to.deep.equal(['node:24']);
    expect(await runs('templates', 'remove', 'base')).to.contain('SANDPIT_IMAGE');
  }).timeout(120_000);

  it('lists the snapshots of all users, with the disk that each takes and all take', async () => {
    const sqlite = new Database(db);
    sqlite.exec(`
      insert into machine_snapshots values ('r', 'docker', 0, null, 0, 1500000, 0), ('q', 'docker', 0, null, 1, 100000, 0);
      insert into snapshots (id, owner_id, name, metadata, memory_mb, vcpu_count, created_at, updated_at, machine_ref)
      select 's1', id, 'mine', '{}', 512, 2, 0, 0, 'r' from users union all
      select 's2', id, 'mine:kept', '{}', 512, 2, 0, 0, 'r' from users union all
      select 's3', id, null, '{}', 512, 2, 0, 0, 'q' from users union all
      select 's4', id, 'record', '{}', 512, 2, 0, 0, null from users;
    `);
    sqlite.close();
    expect(await runs('templates', 'list')).to.match(
      /\n\nSNAPSHOT .*\ns1 +mine +alice +no +1\.5 MB .*\ns2 .*\ns3 +- +alice +yes +0\.1 MB .*\nAll snapshots take 1\.6 MB\.\n$/,
    );
    expect((await listed())[3]).to.deep.include({ snapshot_id: 's3', owner: 'alice', size_bytes: 100_000 });
  });

  it('says what is wrong and what to do', async () => {
    await runs('templates', 'add', 'a', '--image', image);
    expect(await fails('templates', 'add', 'a', '--image', image)).to.equal(
      "sandpit: there is a template 'a' already: --replace replaces it\n",
    );
    for (const name of ['a b', 'bob/a', '', 'x'.repeat(257)]) {
      expect(await fails('templates', 'add', name, '--image', image)).to.contain('is no name of a template');
    }
    expect(await fails('templates', 'remove', 'b')).to.equal(
      "sandpit: there is no template 'b': see sandpit templates list\n",
    );
    expect(await fails('templates', 'remove', 'base')).to.contain('base stands for SANDPIT_IMAGE');
    expect(await fails('templates', 'pull', 'b')).to.contain("there is no template 'b'");
    expect(await fails('templates', 'pull', '--machines', 'none')).to.contain('add --machines docker');
    const { code, stderr } = await sandpit(['templates', 'add', 'c', '--image', 'a b', '--db', db]);
    expect([code, stderr]).to.satisfy(() => code === 1 && stderr.includes('must be an image reference'));
  }).timeout(120_000);

  it('pulls the images of all templates, or of one; exits with 1 when an image is missing', async () => {
    await runs('templates', 'add', 'a', '--image', image);
    await runs('templates', 'add', 'b', '--image', image);
    const process = ['--machines', 'process', '--image', 'x:1'];
    expect(await runs('templates', 'pull', ...process)).to.equal(`Pulled x:1 (base).\nPulled ${image} (a, b).\n`);
    const [pulled] = JSON.parse(await runs('templates', 'pull', 'A', '--json', ...process));
    expect(pulled).to.deep.include({ image, templates: ['a'] });
    await runs('templates', 'add', 'c', '--image', 'missing/c');
    expect(await fails('templates', 'pull', 'c', ...process)).to.match(/missing\/c could not be pulled/);
    const { code, stdout, stderr } = await sandpit(['templates', 'pull', '--db', db, ...process]);
    expect([code, stdout]).to.deep.equal([1, `Pulled x:1 (base).\nPulled ${image} (a, b).\n`]);
    expect(stderr).to.match(/missing\/c could not be pulled.*\n.*1 of 3 images could not be pulled\n$/);
  }).timeout(120_000);

  it('says in one line that no engine answers', async () => {
    const engine = ['--machines', 'docker', '--engine', `unix://${db}.socket`];
    expect(await fails('templates', 'pull', ...engine)).to.match(/could not be pulled: .+/);
  });

  it('apply to a running server at once', async () => {
    const server = await serve(['--db', db, '--machines', 'process'], { env: { SANDPIT_API_KEY: key } });
    const made = await runs('keys', 'create', '--user', 'alice');
    const create = async (templateID: string) => {
      const body = JSON.stringify({ templateID });
      const headers = { 'X-API-Key': made.trim(), 'Content-Type': 'application/json' };
      return (await fetch(`${server.url}/v2/sandboxes`, { method: 'POST', headers, body })).status;
    };
    expect(await create('a')).to.equal(404);
    await runs('templates', 'add', 'a', '--image', image);
    expect(await create('a')).to.equal(201);
    await runs('templates', 'remove', 'a');
    expect(await create('a')).to.equal(404);
    await server.stop();
  }).timeout(120_000);

  it('build says what is missing: a recipe of this name, a key, a server, machines', async () => {
    const build = async (...args: string[]) => {
      const { code, stderr } = await sandpit(['templates', 'build', ...args]);
      expect(code).to.equal(1);
      return stderr;
    };
    expect(await build('nope')).to.equal("sandpit: there is no recipe 'nope': choose from code-interpreter\n");
    expect(await build('code-interpreter')).to.contain('name an API key with --api-key or SANDPIT_API_KEY');
    const url = `http://127.0.0.1:${await freePort()}`;
    const away = await build('code-interpreter', '--api-key', key, '--url', url);
    expect(away).to.match(new RegExp(`^sandpit: ${url} does not answer: `));
    const server = await serve([
      '--db',
      join(temporaryDirectory(), 'sandpit.db'),
      '--api-key',
      key,
      '--machines',
      'none',
    ]);
    const asked = ['code-interpreter', '--url', server.url];
    expect(await build(...asked, '--api-key', key)).to.contain('refuses: Sandpit builds no templates here');
    expect(await build(...asked, '--api-key', `e2b_${'2'.repeat(40)}`)).to.contain(
      'refuses: Could not validate credentials',
    );
    await server.stop();
  });

  it('are completed by bash', async () => {
    const { stdout } = await sandpit(['completion', 'bash']);
    expect(stdout).to.contain(
      '" templates add"*) words="--db --image --sudo --runtime --start --ready --replace --help" ;;',
    );
    expect(stdout).to.contain('" templates"*) words="add list remove pull build --help" ;;');
  });
});

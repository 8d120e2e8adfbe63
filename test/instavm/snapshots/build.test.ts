import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Instavm, startInstavm } from '../../helpers/clients/instavm-client.ts';
import { itHere } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';

type Snapshot = Record<string, string | number | null> & { id: string };

describe('snapshots that InstaVM builds of arguments', () => {
  let { app, bob, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, bob, get, post, remove } = await startInstavm({ machines: 'process' }));
  });

  const begin = async (build_args: object, more: object = {}): Promise<Snapshot> => {
    const { status, body } = await post('/v1/snapshots', { oci_image: 'debian:12', build_args, ...more });
    expect(status, body.detail).to.equal(201);
    expect(body).to.include({ status: 'building', last_error: null, oci_image: null });
    return body;
  };
  const endOf = async ({ id }: Snapshot): Promise<Snapshot> => {
    let found = {} as Snapshot;
    await until('the build has ended', async () => {
      found = (await get(`/v1/snapshots/${id}`)).body;
      return found.status !== 'building';
    });
    return found;
  };
  const bash = async (snapshot_id: string, command: string): Promise<string> => {
    const { body: vm } = await post('/v1/vms', { snapshot_id });
    const ran = await post('/execute', { session_id: vm.session_id, command, language: 'bash' });
    expect(ran.body).to.include({ stderr: '', exit_code: 0 });
    return ran.body.stdout;
  };

  it('have what the command did with the variables, in the size and of the type asked for', async () => {
    const asked = { name: 'mine', type: 'system', memory_mb: 1024, vcpu_count: 3 };
    const envs = { OWN: 'a $HOME "b" \\', SECRET: 'x' };
    const made = await begin({ envs, post_build_cmd: 'printf %s "$OWN" > file' }, asked);
    const { type, name, memory_mb, vcpu_count } = await endOf(made);
    expect({ type, name, memory_mb, vcpu_count }).to.deep.equal(asked);
    expect(await bash('mine', 'cat file')).to.equal(envs.OWN);
    const { body: vm } = await post('/v1/vms', { snapshot_id: made.id });
    expect(vm).to.include({ memory_mb: 1024, vcpu_count: 3 });
  });

  it('have the packages and the repository, and fetch the programs that these need', async () => {
    const [bin, calls] = [join(app.dir, 'bin'), join(app.dir, 'calls')];
    mkdirSync(bin);
    const say = `#!/bin/sh\necho "$(basename "$0") $*" >> ${calls}\n`;
    for (const name of ['apt-get', 'npm', 'git', 'python3']) {
      // This one has no pip until that is installed.
      const absent = name === 'python3' ? `case $* in *--version) grep -q python3-pip ${calls} || exit 1;; esac\n` : '';
      writeFileSync(join(bin, name), `${say}${absent}`, { mode: 0o755 });
    }
    const made = await begin({
      envs: { PATH: bin },
      extra_apt_packages: " curl  jq=1.6 $(id) 'x' ",
      extra_pip_packages: 'numpy>=2 foo[a,b]',
      extra_npm_packages: '@scope/one',
      git_clone_url: 'https://example.com/x.git',
      git_clone_branch: '-b',
    });
    expect(await endOf(made)).to.include({ status: 'ready', last_error: null });
    expect(readFileSync(calls, 'utf8').split('\n')).to.deep.equal([
      'apt-get update',
      "apt-get install --yes --no-install-recommends curl jq=1.6 $(id) 'x'",
      'python3 -m pip --version',
      'apt-get update',
      'apt-get install --yes --no-install-recommends python3-pip',
      'python3 -m pip install --no-cache-dir numpy>=2 foo[a,b]',
      'npm --version',
      'npm install --global @scope/one',
      'git --version',
      'git clone --branch=-b -- https://example.com/x.git',
      '',
    ]);
  });

  it('start the command of an app in each sandbox', async () => {
    const made = await begin({ template_app_cmd: 'pwd > started; exec sleep 1000', template_app_cwd: app.dir });
    expect(await endOf(made)).to.include({ status: 'ready' });
    const look = `until [ -s ${app.dir}/started ]; do sleep 0.01; done; cat ${app.dir}/started`;
    expect(await bash(made.id, look)).to.equal(`${app.dir}\n`);
  });

  it('tell why they could not be built, start nothing, and are deleted or built again', async () => {
    const made = await begin({ post_build_cmd: 'echo the reason >&2; exit 3' }, { name: 'mine' });
    const failed = await endOf(made);
    expect(failed).to.include({ status: 'failed', name: 'mine', type: 'user' });
    expect(failed.last_error).to.match(/RUN echo the reason.*exit code 3.*the reason/s);
    expect((await get('/v1/snapshots')).body).to.deep.equal([failed]);
    expect((await get('/v1/snapshots?type=system')).body).to.deep.equal([]);
    for (const snapshot_id of [made.id, 'mine']) {
      const refused = await post('/v1/vms', { snapshot_id });
      expect(refused.status).to.equal(403);
      expect(refused.body.detail).to.equal(`The snapshot '${made.id}' could not be built: ${failed.last_error}`);
    }
    const again = await begin({ post_build_cmd: 'true' }, { name: 'mine' });
    expect(again.id).to.equal(made.id);
    expect(await endOf(again)).to.include({ status: 'ready', last_error: null });
    const other = await begin({ post_build_cmd: 'false' });
    const { status: _, last_error: __, ...rest } = await endOf(other);
    expect((await remove(`/v1/snapshots/${other.id}`)).body).to.deep.include(rest);
    expect((await get(`/v1/snapshots/${other.id}`)).status).to.equal(404);
  });

  it('are listed and deleted while they are built, by their owner only', async () => {
    const go = join(app.dir, 'go');
    const made = await begin(
      { post_build_cmd: `until [ -e ${go} ]; do sleep 0.05; done; touch ${go}-on` },
      { name: 'mine' },
    );
    app.clock.now += 1;
    const later = (await post('/v1/snapshots', { oci_image: 'debian:12' })).body.id;
    expect((await get('/v1/snapshots')).body.map(({ id }: Snapshot) => id)).to.deep.equal([later, made.id]);
    expect((await get('/v1/snapshots?limit=1')).body).to.have.length(1);
    const conflict = await post('/v1/snapshots', {
      oci_image: 'debian:12',
      name: 'mine',
      build_args: { envs: { A: '1' } },
    });
    expect([conflict.status, conflict.body.detail]).to.deep.equal([409, 'a snapshot named mine exists already']);
    expect((await post('/v1/vms', { snapshot_id: made.id })).body.detail).to.match(/is being built: try again/);
    for (const path of [`/v1/snapshots/${made.id}`, '/v1/snapshots/mine']) {
      expect((await get(path, bob)).status).to.equal(404);
      expect((await remove(path, bob)).status).to.equal(404);
    }
    expect((await remove('/v1/snapshots/mine')).body).to.deep.equal(made);
    expect((await get('/v1/snapshots/mine')).status).to.equal(404);
  });

  itHere('403 in words: what can not be built, and nothing is left of it', async () => {
    const refuse = async (build_args: object, words: RegExp, more: object = {}) => {
      const { status, body } = await post('/v1/snapshots', { oci_image: 'debian:12', build_args, ...more });
      expect([status, body.detail]).to.deep.equal([403, body.detail]);
      expect(body.detail).to.match(words);
    };
    await refuse({ disk_size_gb: 3 }, /^build_args.disk_size_gb is not offered: /);
    await refuse({ envs: { 'a=b': '1' } }, /^envs has a name that is empty, or holds = or NUL$/);
    await refuse({ git_clone_branch: 'main' }, /^git_clone_branch needs git_clone_url/);
    await refuse({ template_app_cwd: '/' }, /^template_app_cwd needs template_app_cmd/);
    await refuse({ envs: { A: '1' } }, /^template_app_cmd is not offered: /, { template_app_cmd: 'x' });
    expect((await get('/v1/snapshots')).body).to.deep.equal([]);
    const nothing = { envs: {}, extra_apt_packages: ' ', post_build_cmd: '', disk_size_gb: null };
    const made = await post('/v1/snapshots', { oci_image: 'debian:12', build_args: nothing });
    expect(made.body).to.include({ status: 'ready', oci_image: 'debian:12' });
    const records = await startInstavm();
    const refused = await records.post('/v1/snapshots', {
      oci_image: 'debian:12',
      build_args: { post_build_cmd: 'x' },
    });
    expect(`${refused.status} ${refused.body.detail}`).to.match(/^403 build_args is not offered: .*needs machines/);
  });
});

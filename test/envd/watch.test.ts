import { expect } from 'chai';
import type { components } from '../../spec/types.gen.ts';
import { call, open, run, type WatchMessage } from '../helpers/clients/connect-client.ts';
import { startMachine, useMachine } from '../helpers/clients/machine-client.ts';

type Change = components['schemas']['EnvdChange'];

describe('watching a directory of a machine', () => {
  const machine = useMachine();
  let folder = '';
  let folders = 0;

  const ask = (method: string, message: object, of = machine) => call(of, `filesystem.Filesystem/${method}`, message);
  const inFolder = (command: string) => run(machine, `cd "${folder}" && ${command}`);

  beforeEach(async () => {
    folder = (await run(machine, `mkdir watched-${++folders} && cd watched-${folders} && pwd`)).stdout.trim();
  });

  /** Returns a function that reads changes up to one that matches. */
  const watch = async (message: object) => {
    const stream = await open<WatchMessage>(machine, 'filesystem.Filesystem/WatchDir', { path: folder, ...message });
    expect(await stream.next()).to.deep.equal({ start: {} });
    const until = async (type: Change['type'], name: string): Promise<Change> => {
      for (;;) {
        const { filesystem } = await stream.next();
        if (filesystem?.type === type && filesystem.name === name) return filesystem;
      }
    };
    return { until, close: stream.close };
  };

  it('WatchDir tells of every kind of change, with names relative to the directory', async () => {
    const { until, close } = await watch({});
    for (const [command, type, name] of [
      ['touch a', 'EVENT_TYPE_CREATE', 'a'],
      ['echo x > a', 'EVENT_TYPE_WRITE', 'a'],
      ['chmod 600 a', 'EVENT_TYPE_CHMOD', 'a'],
      ['mv a b', 'EVENT_TYPE_RENAME', 'a'],
      ['mv b c', 'EVENT_TYPE_CREATE', 'c'],
      ['rm c', 'EVENT_TYPE_REMOVE', 'c'],
    ] as const) {
      await inFolder(command);
      expect(await until(type, name)).to.deep.equal({ type, name });
    }
    close();
  });

  it('WatchDir with `recursive` watches directories inside, and describes files with `includeEntry`', async () => {
    await inFolder('mkdir -p d/e');
    const { until, close } = await watch({ recursive: true, includeEntry: true, allowNetworkMounts: true });
    await inFolder('printf 123 > d/e/file');
    const { entry } = await until('EVENT_TYPE_WRITE', 'd/e/file');
    expect(entry).to.include({ name: 'file', path: `${folder}/d/e/file`, size: '3', type: 'FILE_TYPE_FILE' });
    await inFolder('rm d/e/file');
    expect(await until('EVENT_TYPE_REMOVE', 'd/e/file')).not.to.have.property('entry');
    close();
  });

  it('WatchDir says that it lives after Keepalive-Ping-Interval seconds', async () => {
    const message = { path: folder };
    const stream = await open(machine, 'filesystem.Filesystem/WatchDir', message, { 'Keepalive-Ping-Interval': '1' });
    await stream.next();
    expect(await stream.next()).to.deep.equal({ keepalive: {} });
    stream.close();
  });

  it('only directories can be watched', async () => {
    await inFolder('touch a');
    for (const [name, code] of [
      ['a', 'invalid_argument'],
      ['none', 'not_found'],
    ]) {
      const path = `${folder}/${name}`;
      const { end } = await (await open(machine, 'filesystem.Filesystem/WatchDir', { path })).rest();
      expect([end.error?.code, (await ask('CreateWatcher', { path })).body.code]).to.deep.equal([code, code]);
    }
  });

  describe('with a watcher', () => {
    const take = (watcherId: string) => ask('GetWatcherEvents', { watcherId });
    const create = async (message: object = {}): Promise<string> =>
      (await ask('CreateWatcher', { path: folder, ...message })).body.watcherId;

    /** Asks for events until one matches. Returns all of them. */
    const collected = async (id: string, type: string, name: string): Promise<Change[]> => {
      const events: Change[] = [];
      while (!events.some((event) => event.type === type && event.name === name)) {
        const { status, body } = await take(id);
        expect(status).to.equal(200);
        events.push(...body.events);
      }
      return events;
    };

    it('GetWatcherEvents returns the changes since the last call', async () => {
      const id = await create();
      expect(id).to.match(/^[0-9a-f]{24}$/);
      await inFolder('touch a; rm a');
      const events = await collected(id, 'EVENT_TYPE_REMOVE', 'a');
      expect(events[0]).to.deep.equal({ type: 'EVENT_TYPE_CREATE', name: 'a' });
      expect((await take(id)).body).to.deep.equal({ events: [] });
      await inFolder('touch b');
      expect((await collected(id, 'EVENT_TYPE_CREATE', 'b'))[0]?.name).to.equal('b');
    });

    it('GetWatcherEvents tells of everything that was done before the call', async () => {
      const id = await create({ recursive: true, includeEntry: true });
      await machine.write(`${folder}/new/file`, 'x');
      const { events } = (await take(id)).body;
      expect(events.map(({ type, name }: Change) => `${type} ${name}`)).to.include.members([
        'EVENT_TYPE_CREATE new',
        'EVENT_TYPE_CREATE new/file',
        'EVENT_TYPE_WRITE new/file',
      ]);
      for (let n = 0; n < 40; n++) await machine.write(`${folder}/new/${'n'.repeat(200)}-${n}`, 'x');
      const names = new Set((await take(id)).body.events.map(({ name }: Change) => name));
      expect(names.size).to.equal(40);
      expect((await take(id)).body).to.deep.equal({ events: [] });
    });

    it('a new file is created, given to its user, and written', async () => {
      const id = await create();
      await machine.write(`${folder}/file`, 'x');
      const kinds = (await take(id)).body.events.map(({ type }: Change) => type);
      expect(kinds).to.deep.equal(['EVENT_TYPE_CREATE', 'EVENT_TYPE_CHMOD', 'EVENT_TYPE_WRITE']);
    });

    it('GetWatcherEvents describes files if that was asked for', async () => {
      await inFolder('mkdir d');
      const id = await create({ recursive: true, includeEntry: true });
      await inFolder('echo x > d/a');
      const events = await collected(id, 'EVENT_TYPE_WRITE', 'd/a');
      expect(events.at(-1)?.entry?.size).to.equal('2');
    });

    it('RemoveWatcher ends it, and only its own sandbox knows it', async () => {
      const id = await create();
      const other = await startMachine(machine.app, machine.url);
      const refused = await ask('GetWatcherEvents', { watcherId: id }, other);
      expect([refused.status, refused.body.code]).to.deep.equal([404, 'not_found']);
      expect((await ask('RemoveWatcher', { watcherId: id }, other)).status).to.equal(404);
      expect(await ask('RemoveWatcher', { watcherId: id })).to.deep.equal({ status: 200, body: {} });
      for (const method of ['GetWatcherEvents', 'RemoveWatcher']) {
        for (const watcherId of [id, 'none', '']) {
          expect((await ask(method, { watcherId })).status, method).to.equal(404);
        }
      }
    });

    it('a watcher that nobody asks for 10 minutes ends', async () => {
      const [used, unused] = [await create(), await create()];
      const { headers, owner, app } = machine;
      // A server in another process gets the clock with this request.
      const move = async (milliseconds: number) => {
        app.clock.now += milliseconds;
        await app.http.get('/health');
      };
      await move(240_000);
      expect((await take(used)).status).to.equal(200);
      await move(59_000);
      const timeout = await app.http
        .post(`/sandboxes/${headers['E2b-Sandbox-Id']}/timeout`)
        .set('X-API-Key', owner.key)
        .send({ timeout: 3600 });
      expect(timeout.status).to.equal(204);
      await move(302_000);
      expect([(await take(used)).status, (await take(unused)).status]).to.deep.equal([200, 404]);
    });

    it('a sandbox has at most 64 watchers', async () => {
      const other = await startMachine(machine.app, machine.url);
      const ids: string[] = [];
      for (let n = 0; n < 64; n++) ids.push((await ask('CreateWatcher', { path: '/tmp' }, other)).body.watcherId);
      const { status, body } = await ask('CreateWatcher', { path: '/tmp' }, other);
      expect([status, body.code]).to.deep.equal([429, 'resource_exhausted']);
      await ask('RemoveWatcher', { watcherId: ids[0] }, other);
      expect((await ask('CreateWatcher', { path: '/tmp' }, other)).status).to.equal(200);
    });

    it('says once that changes are lost when there were too many', async () => {
      const id = await create();
      const name = 'n'.repeat(200);
      await inFolder(`for n in $(seq 1500); do echo > ${name}-$n; done; rm *`);
      await inFolder('touch last');
      let lost = 0;
      for (let isOver = false; !isOver; ) {
        const { status, body } = await take(id);
        if (status === 429) lost++;
        if (status === 429) await inFolder('rm last; touch last');
        isOver = lost > 0 && (body.events ?? []).some((event: Change) => event.name === 'last');
      }
      expect(lost).to.be.above(0);
    });
  });
});

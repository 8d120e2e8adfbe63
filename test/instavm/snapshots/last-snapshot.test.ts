import { join } from 'node:path';
import { expect } from 'chai';
import { MachineError } from '../../../app/machines/error.ts';
import { createProcessDriver } from '../../../app/machines/process/driver.ts';
import { type Instavm, startInstavm } from '../../helpers/clients/instavm-client.ts';
import { startApp, temporaryDirectory } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';

describe("InstaVM's snapshot_on_terminate", () => {
  let { app, alice, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, get, post, remove } = await startInstavm({ machines: 'process' }));
  });

  const bash = async (vm: string, command: string): Promise<string> => {
    const { session_id } = (await get(`/v1/vms/${vm}`)).body;
    return (await post('/execute', { session_id, command, language: 'bash' })).body.stdout;
  };
  const update = (vm: string, body: object) => app.http.patch(`/v1/vms/${vm}`).set('X-API-Key', alice.key).send(body);
  const snapshots = async () => (await get('/v1/snapshots')).body as { id: string; name: string | null }[];
  const taken = (count: number) => until('the snapshot is taken', async () => (await snapshots()).length === count);

  it('keeps what the machine held when the sandbox ends, however it ends', async () => {
    const ends = [
      (vm: string) => remove(`/v1/vms/${vm}`),
      async () => {
        app.clock.now += 60_000;
        await get('/v1/vms');
      },
      async (vm: string) => {
        await post(`/v1/vms/${vm}/suspend`);
        await remove(`/v1/vms/${vm}`);
      },
    ];
    for (const [nth, end] of ends.entries()) {
      const body = {
        snapshot_on_terminate: true,
        snapshot_name: `last-${nth}`,
        vm_lifetime_seconds: 50,
        memory_mb: 1024,
      };
      const { body: vm } = await post('/v1/vms', { ...body, metadata: { a: 1.5 } });
      expect(vm.snapshot_on_terminate).to.equal(true);
      await bash(vm.vm_id, `echo ${nth} > file`);
      await end(vm.vm_id);
      await taken(nth + 1);
      const next = (await post('/v1/vms', { snapshot_id: `last-${nth}` })).body;
      expect(next).to.include({ memory_mb: 1024, snapshot_on_terminate: false });
      expect(await bash(next.vm_id, 'cat file')).to.equal(`${nth}\n`);
    }
  });

  it('is set and taken back later; a later one of the same name replaces the earlier', async () => {
    const ended = async (changes: object[], text: string) => {
      const { vm_id: vm } = (await post('/v1/vms', { vm_lifetime_seconds: 3600 })).body;
      await bash(vm, `echo ${text} > file`);
      for (const change of changes) expect((await update(vm, change)).status).to.equal(200);
      await remove(`/v1/vms/${vm}`);
      return vm;
    };
    const on = { snapshot_on_terminate: true, snapshot_name: 'kept' };
    await ended([on], 'first');
    await taken(1);
    const [first] = await snapshots();
    await ended([{ ...on, snapshot_name: 'x' }, { snapshot_on_terminate: false }], 'never');
    await ended([{ snapshot_on_terminate: true }, { snapshot_name: 'kept' }], 'second');
    await until('it is replaced', async () => {
      const next = (await post('/v1/vms', { snapshot_id: 'kept' })).body;
      return (await bash(next.vm_id, 'cat file')) === 'second\n';
    });
    expect((await snapshots()).map(({ id, name }) => [id, name])).to.deep.equal([[first?.id, 'kept']]);
    await ended([{ snapshot_on_terminate: true }], 'third');
    await taken(2);
  });

  it('a machine of which none can be taken goes without; an engine that is away is asked again', async () => {
    const machines = createProcessDriver({ instance: 'x', db: join(temporaryDirectory(), 'sandpit.db') });
    const failures = [
      new MachineError('unavailable', 'the engine is away'),
      new MachineError('failed', 'the disk is broken'),
    ];
    const asked: string[] = [];
    const snapshot = async (id: string) => {
      asked.push(id);
      throw failures.shift();
    };
    const own = await startInstavm({ machines: 'process' }, Object.assign(machines, { snapshot }));
    const { vm_id: vm } = (await own.post('/v1/vms', { snapshot_on_terminate: true })).body;
    await own.remove(`/v1/vms/${vm}`);
    await until('the machine is gone', async () => (await machines.list()).length === 0);
    expect(asked).to.deep.equal([vm, vm]);
    expect(own.app.log()).to.contain('the last snapshot of a sandbox could not be taken');
    expect((await own.get('/v1/snapshots')).body).to.deep.equal([]);
  });

  it('a server that stops while it is taken takes it when it starts again', async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    const begun = Promise.withResolvers<void>();
    const cut = Promise.withResolvers<never>();
    const machines = createProcessDriver({ instance: 'x', db });
    const snapshot = () => {
      begun.resolve();
      return cut.promise;
    };
    const close = async () => cut.reject(new MachineError('timeout', 'the server stops'));
    const own = await startInstavm({ machines: 'process', db }, Object.assign(machines, { snapshot, close }));
    const { vm_id: vm } = (await own.post('/v1/vms', { snapshot_on_terminate: true })).body;
    await own.remove(`/v1/vms/${vm}`);
    await begun.promise;
    await own.app.close();
    expect((await machines.list()).map(({ id }) => id)).to.deep.equal([vm]);
    const next = createProcessDriver({ instance: 'x', db });
    const again = await startApp({ machines: 'process', db }, { driver: next });
    await until('the machine is gone', async () => (await next.list()).length === 0);
    const { body } = await again.http.get('/v1/snapshots').set('X-API-Key', own.alice.key);
    expect(body).to.have.length(1);
  });

  it('403: a name without a snapshot; 422: a name that is an id; 501 with records only', async () => {
    const refused = await post('/v1/vms', { snapshot_name: 'x' });
    expect([refused.status, refused.body.detail]).to.deep.equal([403, refused.body.detail]);
    expect(refused.body.detail).to.contain('set snapshot_on_terminate as well');
    const { vm_id: vm } = (await post('/v1/vms', {})).body;
    expect((await update(vm, { snapshot_name: 'x' })).status).to.equal(403);
    const id = { snapshot_on_terminate: true, snapshot_name: `s${'a'.repeat(20)}` };
    expect((await post('/v1/vms', id)).status).to.equal(422);
    const records = await startInstavm();
    for (const body of [{ snapshot_on_terminate: true }, { snapshot_name: 'x' }]) {
      expect((await records.post('/v1/vms', body)).body.detail).to.contain('not offered');
    }
    expect((await records.post('/v1/vms', { snapshot_on_terminate: false })).status).to.equal(201);
  });
});

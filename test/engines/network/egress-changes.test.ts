import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Machines } from '../../../app/context.ts';
import { e2bOf } from '../../helpers/clients/e2b-client.ts';
import { type Caller, startApp, type TestApp } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { describeOnEngines } from '../../machines/engines/engines.ts';
import { places, startWorld, type World } from '../../machines/engines/world.ts';
import { run, runProgram } from '../machine.ts';

const probe = readFileSync(fileURLToPath(new URL('probe.py', import.meta.url)), 'utf8');

/** Repeats words to a server over one connection until that ends; says how it ended. */
const talk = `
import socket, time
opened = socket.create_connection(('20.0.0.1', 7), 20)
try:
  while opened.sendall(b'x') or opened.recv(1): print('.', end='', flush=True); time.sleep(0.02)
except OSError as error: print(type(error).__name__)
`;

describeOnEngines('network rules of sandboxes', (engine) => {
  let world: World;
  let app: TestApp;
  let caller: Caller;
  let e2b: ReturnType<typeof e2bOf>;
  const folder = mkdtempSync(join(tmpdir(), 'sandpit-egress-'));
  const db = join(folder, 'sandpit.db');
  const start = () => startApp({ machines: 'docker', engine: engine().address, image: engine().image, db });
  before(async () => {
    world = await startWorld(engine());
  });
  beforeEach(async () => {
    app = await start();
    caller = await app.addUser(`user-${Math.random()}`);
    e2b = e2bOf(app, caller);
  });
  afterEach(async () => {
    for (const { sandboxID } of (await e2b.get('/sandboxes')).body) await e2b.remove(`/sandboxes/${sandboxID}`);
    await until('all machines are gone', async () => (await machines().driver.list()).length === 0);
  });
  after(async () => {
    await world.stop();
    rmSync(folder, { recursive: true });
  });

  const machines = () => app.server.context.machines as Machines;
  const agentOf = (id: string) => machines().agentOf(id);
  const reach = async (id: string, address: string) => {
    const args = ['/usr/bin/python3', '-c', probe, 'plain', address, '80'];
    return (await runProgram(await agentOf(id), args)).output.trim();
  };
  const put = async (id: string, rules: object) =>
    expect((await e2b.put(`/sandboxes/${id}/network`, rules)).status).to.equal(204);
  const closed = 'OSError: [Errno 113] No route to host';

  it('are each sandbox’s own: of a new one, a fork, and one from a snapshot', async () => {
    const id = await e2b.create({ network: { denyOut: ['20.0.0.0/8'], allowOut: ['10.99.0.5'] } });
    const { snapshotID } = (await e2b.post(`/sandboxes/${id}/snapshots`, {})).body;
    const [{ sandbox }] = (await e2b.post(`/sandboxes/${id}/fork`, {})).body;
    const copy = await e2b.create({ templateID: snapshotID });
    for (const each of [id, sandbox.sandboxID])
      expect([await reach(each, places.open), await reach(each, '10.99.0.5')]).to.deep.equal([closed, 'REACHED']);
    expect([await reach(copy, places.open), await reach(copy, '10.99.0.5')]).to.deep.equal(['REACHED', closed]);
    await put(id, {});
    expect(await reach(id, places.open)).to.equal('REACHED');
    expect(await reach(sandbox.sandboxID, places.open)).to.equal(closed);
  });

  it('cut an open connection when they change, and open what they closed', async () => {
    const id = await e2b.create({ allow_internet_access: false });
    expect(await reach(id, places.open)).to.equal(closed);
    await put(id, {});
    const talking = runProgram(await agentOf(id), ['/usr/bin/python3', '-c', talk]);
    await run(await agentOf(id), 'until grep -q ":0007 01" /proc/net/tcp; do sleep 0.02; done');
    await put(id, { denyOut: ['20.0.0.1'] });
    expect((await talking).output).to.match(/^\.*ConnectionResetError\n$/);
  });

  it('are those of InstaVM’s policies as well: from the start of a sandbox, by port and by address', async () => {
    const http = (path: string, body?: object) =>
      app.http[body ? 'post' : 'get'](path).set('X-API-Key', caller.key).send(body);
    const policy = { allow_https: true, allowed_cidrs: ['10.99.0.5'] };
    const { vm_id: id } = (await http('/v1/vms', { egress_policy: policy })).body;
    expect([await reach(id, places.open), await reach(id, '10.99.0.5')]).to.deep.equal([closed, 'REACHED']);
    expect((await http(`/v1/egress/vm/${id}`, { allow_http: true })).status).to.equal(200);
    expect([await reach(id, places.open), await reach(id, '10.99.0.5')]).to.deep.equal(['REACHED', closed]);
    expect((await http(`/v1/egress/vm/${id}`)).body).to.include({ allow_http: true, allow_https: false });
    // E2B's rules take the place of a policy.
    await put(id, { denyOut: ['20.0.0.0/24'] });
    expect(
      (await http(`/v1/egress/vm/${id}`, { allow_http: true, allow_https: true, allow_package_managers: true })).status,
    ).to.equal(200);
    expect(await reach(id, places.open)).to.equal('REACHED');
  });

  it('hold after a pause, a stop, and a restart of the server; those of a paused sandbox wait for its resume', async () => {
    const id = await e2b.create({ network: { denyOut: ['20.0.0.0/8'] } });
    await e2b.does(id, 'pause');
    await put(id, { allowOut: ['20.0.0.0/24'], denyOut: ['0.0.0.0/0'] });
    expect(await e2b.does(id, 'connect', { timeout: 300 })).to.equal(201);
    expect(await reach(id, places.open)).to.equal('REACHED');
    await e2b.does(id, 'pause', { memory: false });
    await put(id, { denyOut: ['20.0.0.0/24'] });
    expect(await e2b.does(id, 'connect', { timeout: 300 })).to.equal(201);
    expect([await reach(id, places.open), await reach(id, places.metadata)]).to.deep.equal([closed, closed]);
    await app.close();
    app = await start();
    e2b = e2bOf(app, caller);
    expect([await reach(id, places.open), await reach(id, places.metadata)]).to.deep.equal([closed, closed]);
  });
});

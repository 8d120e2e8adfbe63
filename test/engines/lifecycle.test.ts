import { expect } from 'chai';
import type { Machines } from '../../app/context.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { startApp, type TestApp } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { run } from './machine.ts';

describeOnEngines('sandboxes through the API', (engine) => {
  let app: TestApp;
  let e2b: ReturnType<typeof e2bOf>;
  before(async () => {
    app = await startApp({ machines: 'docker', engine: engine().address, image: engine().image });
    e2b = e2bOf(app, await app.addUser('alice'));
  });

  const machines = () => app.server.context.machines as Machines;
  const shell = async (id: string, command: string) => (await run(await machines().agentOf(id), command)).output;

  it('pause, resume, stop, are kept as snapshots and forked; nothing of them stays', async () => {
    const offline = { allow_internet_access: false };
    const id = await e2b.create(offline);
    await shell(id, 'echo kept > ~/file; sleep 1000 < /dev/null > /dev/null 2>&1 &');
    expect(await e2b.does(id, 'pause')).to.equal(204);
    expect(await machines().driver.list()).to.deep.equal([{ id, state: 'paused' }]);
    expect(await e2b.does(id, 'connect', { timeout: 300 })).to.equal(201);
    expect(await shell(id, 'pgrep -c sleep; cat ~/file')).to.equal('1\nkept\n');
    const { snapshotID } = (await e2b.post(`/sandboxes/${id}/snapshots`, {})).body;
    const copy = await e2b.create({ ...offline, templateID: snapshotID });
    const forked = await e2b.post(`/sandboxes/${id}/fork`, { count: 2 });
    const forks = (forked.body as { sandbox: { sandboxID: string } }[]).map(({ sandbox }) => sandbox.sandboxID);
    expect(forks).to.have.length(2);
    for (const each of [copy, ...forks]) expect(await shell(each, 'cat ~/file')).to.equal('kept\n');
    expect(await e2b.does(id, 'pause', { memory: false })).to.equal(204);
    expect(await e2b.does(id, 'connect', { timeout: 300 })).to.equal(201);
    expect(await shell(id, 'pgrep -c sleep; cat ~/file')).to.equal('0\nkept\n');
    await e2b.remove(`/templates/${snapshotID}`);
    for (const each of [id, copy, ...forks]) await e2b.remove(`/sandboxes/${each}`);
    await until('all machines are gone', async () => (await machines().driver.list()).length === 0);
    await until('all snapshots are gone', async () => (await machines().driver.snapshots()).length === 0);
  });
});

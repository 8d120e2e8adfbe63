import { expect } from 'chai';
import { type Candidate, choose } from '../../app/machines/choose/choose.ts';
import { type InUse, readInUse } from '../../db/machines/in-use.ts';
import { addMachine } from '../../db/machines/rows.ts';
import { newSandboxId } from '../../db/sandboxes/insert.ts';
import { inTransaction } from '../../db/store.ts';
import { itHere, startApp } from '../helpers/server.ts';

const nothing: InUse = { drivers: [], hasRecordsOnly: false };

describe('the choice of what runs machines', () => {
  /** Returns candidates with these answers, and the names of those that were asked. */
  function candidates(microvm: string | null, docker: string | null) {
    const asked: string[] = [];
    const candidate = (driver: Candidate['driver'], why: string | null): Candidate => ({
      driver,
      whyNot: async () => {
        asked.push(driver);
        return why;
      },
    });
    return { asked, all: [candidate('microvm', microvm), candidate('docker', docker)] };
  }

  it('takes microVMs, else containers, else records only, and says why not the better ones', async () => {
    const no = { microvm: { driver: 'microvm', why: 'no KVM' }, docker: { driver: 'docker', why: 'no engine' } };
    const rest = { because: 'found', leftAlone: [] };
    const both = candidates(null, null);
    const chosen = await choose('auto', nothing, both.all);
    expect([chosen, both.asked]).to.deep.equal([{ driver: 'microvm', passedOver: [], ...rest }, ['microvm']]);
    const second = await choose('auto', nothing, candidates('no KVM', null).all);
    expect(second).to.deep.equal({ driver: 'docker', passedOver: [no.microvm], ...rest });
    const none = await choose('auto', nothing, candidates('no KVM', 'no engine').all);
    expect(none).to.deep.equal({ driver: null, passedOver: [no.microvm, no.docker], ...rest });
  });

  it('keeps the driver of machines or snapshots, and records of sandboxes without machines, and asks nobody', async () => {
    const { asked, all } = candidates(null, 'it is away');
    const used = { drivers: [{ driver: 'docker', machines: 2 }], hasRecordsOnly: true };
    const kept = await choose('auto', used, all);
    expect(kept).to.deep.equal({ driver: 'docker', because: 'machines', passedOver: [], leftAlone: [] });
    const snapshots = await choose('auto', { ...nothing, drivers: [{ driver: 'docker', machines: 0 }] }, all);
    expect(snapshots.driver).to.equal('docker');
    const records = await choose('auto', { ...nothing, hasRecordsOnly: true }, all);
    expect([records.driver, records.because, asked]).to.deep.equal([null, 'records', []]);
  });

  it('obeys a setting, and names the machines of other drivers', async () => {
    const drivers = [
      { driver: 'docker', machines: 2 },
      { driver: 'microvm', machines: 1 },
      { driver: 'process', machines: 0 },
    ];
    const chosen = await choose('microvm', { ...nothing, drivers }, []);
    expect([chosen.driver, chosen.leftAlone]).to.deep.equal(['microvm', [drivers[0]]]);
    const none = await choose('none', { ...nothing, drivers }, []);
    expect([none.driver, none.leftAlone]).to.deep.equal([null, drivers.slice(0, 2)]);
    const { driver } = await choose('auto', { ...nothing, drivers: drivers.slice(2) }, candidates(null, null).all);
    expect(driver, 'the driver for tests is never kept').to.equal('microvm');
  });

  itHere('reads from the database which drivers it needs', async () => {
    const app = await startApp();
    const { db } = app.server.context.store;
    const alice = await app.addUser('alice');
    const read = () => readInUse(db, app.clock.now);
    expect(await read()).to.deep.equal(nothing);
    const machine = { ownerId: alice.id, image: 'x', allowsSudo: false, runtime: null, setup: null };
    const add = (sandboxId: string, driver: string) =>
      inTransaction(db, (trx) => addMachine(trx, 0, { ...machine, sandboxId, driver }));
    await add(await app.insert(alice), 'docker');
    await add(await app.insert(alice, { status: 'paused' }), 'docker');
    await add(newSandboxId(), 'microvm');
    const snapshot = {
      ref: 'r',
      driver: 'other',
      allows_sudo: 0,
      has_memory: 0,
      size_bytes: 1,
      created_at: 0,
    } as const;
    await db.insertInto('machine_snapshots').values(snapshot).execute();
    await app.insert(alice, { status: 'killed' });
    const drivers = [
      { driver: 'docker', machines: 2 },
      { driver: 'microvm', machines: 1 },
      { driver: 'other', machines: 0 },
    ];
    expect(await read()).to.deep.equal({ drivers, hasRecordsOnly: false });
    const bare = await app.insert(alice, { status: 'paused' });
    expect((await read()).hasRecordsOnly).to.equal(true);
    await app.http.delete(`/v1/vms/${bare}`).set('X-API-Key', alice.key);
    expect((await read()).hasRecordsOnly).to.equal(false);
    await app.insert(alice);
    expect((await read()).hasRecordsOnly).to.equal(true);
  });
});

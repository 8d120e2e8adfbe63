import Database from 'better-sqlite3';
import { expect } from 'chai';
import { endDueSandboxes } from '../../db/sandboxes/expire.ts';
import { inTransaction } from '../../db/store.ts';
import { useVms } from '../helpers/clients/vms-client.ts';
import { apiKey, itHere, startTime } from '../helpers/server.ts';

describe('changing and ending sandboxes', () => {
  const { app, alice, create, read, update, end, matching } = useVms();

  describe('PATCH /v1/vms/{vm_id}', () => {
    it('200: replaces all metadata, and the filter finds the new metadata', async () => {
      const { vm_id } = (await create({ metadata: { a: 1, b: [1, 2] } })).body;
      const response = await update(vm_id, { metadata: { c: { d: null } } });
      expect(response.status).to.equal(200);
      expect(response.body.metadata).to.deep.equal({ c: { d: null } });
      expect([await matching({ a: 1 }), await matching({ b: [2] }), await matching({ c: { d: null } })]).to.deep.equal([
        0, 0, 1,
      ]);
    });

    it('200: sets the lifetime from now on, shorter or longer', async () => {
      const { vm_id } = (await create()).body;
      app.clock.now += 10_000;
      expect((await update(vm_id, { vm_lifetime_seconds: 20 })).body.end_at).to.equal('2025-01-18T10:30:30.000Z');
      expect((await update(vm_id, { vm_lifetime_seconds: 86400 })).body.end_at).to.equal('2025-01-19T10:30:10.000Z');
    });

    it('200: changes nothing for an empty request', async () => {
      const { body } = await create({ metadata: { a: 1 } });
      expect((await update(body.vm_id, {})).body).to.deep.equal(body);
    });

    it('401: without a credential; 404: an unknown sandbox', async () => {
      expect((await app.http.patch('/v1/vms/i123').send({})).status).to.equal(401);
      expect((await update('i123', {})).status).to.equal(404);
    });

    it('409: a killed or expired sandbox', async () => {
      const [one, two] = [(await create()).body.vm_id, (await create()).body.vm_id];
      await end(one);
      app.clock.now += 300_000;
      for (const id of [one, two]) {
        const response = await update(id, { vm_lifetime_seconds: 60, metadata: {} });
        expect(response.status).to.equal(409);
        expect(response.body).to.deep.equal({ detail: 'Sandbox has ended' });
        expect((await read(id)).body.status).to.equal('killed');
      }
    });

    itHere('409: a sandbox that ends while the change waits for another process', async () => {
      const { vm_id } = (await create()).body;
      const other = new Database(app.server.context.config.db);
      other.exec('begin immediate');
      const answer = update(vm_id, { vm_lifetime_seconds: 3600 }).then((response) => response);
      expect((await app.http.get('/health')).status).to.equal(200);
      app.clock.now += 300_000;
      other.exec('commit');
      other.close();
      expect((await answer).status).to.equal(409);
    });

    it('413, 415, 422: refuses what creating refuses, and a null or missing body', async () => {
      const { vm_id } = (await create({ metadata: { a: 1 } })).body;
      expect((await update(vm_id, { metadata: { a: 'x'.repeat(2 ** 20) } })).status).to.equal(413);
      expect((await app.http.patch(`/v1/vms/${vm_id}`).set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
      expect((await update(vm_id, { metadata: null })).body.detail[0]).to.include({ type: 'dict_type' });
      expect((await update(vm_id, { metadata: { a: 'x'.repeat(65_536) } })).status).to.equal(422);
      for (const text of ['', 'null']) {
        const empty = await app.http.patch(`/v1/vms/${vm_id}`).set(apiKey(alice)).type('json').send(text);
        expect(empty.body.detail).to.deep.equal([
          { type: 'missing', loc: ['body'], msg: 'Field required', input: null },
        ]);
      }
      expect((await read(vm_id)).body.metadata).to.deep.equal({ a: 1 });
    });
  });

  describe('DELETE /v1/vms/{vm_id}', () => {
    it('200: kills a sandbox; a second call changes nothing', async () => {
      const { vm_id } = (await create({ metadata: { a: 1 } })).body;
      const first = await end(vm_id);
      expect(first.status).to.equal(200);
      expect(first.body).to.include({ status: 'killed', end_at: null });
      app.clock.now += 1000;
      expect((await end(vm_id)).body).to.deep.equal(first.body);
      expect(await matching({ a: 1 })).to.equal(1);
    });

    it('401: without a credential; 404: an unknown sandbox', async () => {
      expect((await app.http.delete('/v1/vms/i123')).status).to.equal(401);
      expect((await end('i123')).status).to.equal(404);
    });
  });

  describe('the sweeper', () => {
    it('marks exactly the expired sandboxes as killed', async () => {
      await app.insert(alice, { id: 'due', endAt: startTime });
      await app.insert(alice, { id: 'later', endAt: startTime + 1 });
      await app.insert(alice, { id: 'never', endAt: null });
      await app.insert(alice, { id: 'paused', endAt: startTime, status: 'paused' });
      const { db, sqlite } = app.server.context.store;
      const sweep = () => inTransaction(db, (trx) => endDueSandboxes(trx, app.clock.now, 10));
      expect([await sweep(), await sweep()]).to.deep.equal([1, 0]);
      const stored = sqlite.prepare('select id, status from sandboxes order by id').raw().all();
      expect(Object.fromEntries(stored as [string, string][])).to.deep.equal({
        due: 'killed',
        later: 'active',
        never: 'active',
        paused: 'paused',
      });
    });
  });
});

import { expect } from 'chai';
import { timeAt, useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey, clientOf, startTime } from '../helpers/server.ts';

/** How far the clock goes back, in seconds. */
const hour = 3600;

describe('after the clock is set back', () => {
  const { app, alice, e2b } = useE2b();

  const back = () => {
    app.clock.now = startTime - hour * 1000;
  };
  const vm = async (id: string) => (await clientOf(app, alice).read(id)).body;
  const session = async (id: string, what: 'session' | 'status') => {
    const { session_id: sessionId } = await vm(id);
    return (await app.http.get(`/v1/sessions/${what}/${sessionId}`).set(apiKey(alice))).body;
  };
  const lastEvents = async (id: string, limit: number) => {
    const { body } = await app.http.get(`/v1/audit/events?sandbox_id=${id}&limit=${limit}`).set(apiKey(alice));
    return body.events.map(({ kind, details }: { kind: string; details: { end_at: string } }) => [
      kind,
      details.end_at,
    ]);
  };

  it('no change of its lifetime gives a sandbox an end before its start', async () => {
    const changes: Record<string, (id: string) => Promise<unknown>> = {
      timeout: (id) => e2b.does(id, 'timeout', { timeout: 60 }),
      'the longest timeout': (id) => e2b.does(id, 'timeout', { timeout: hour }),
      refreshes: (id) => e2b.does(id, 'refreshes', { duration: 60 }),
      connect: (id) => e2b.does(id, 'connect', { timeout: 60 }),
      PATCH: async (id) => (await clientOf(app, alice).update(id, { vm_lifetime_seconds: 20 })).status,
      'pause and resume': async (id) => [await e2b.does(id, 'pause'), await e2b.does(id, 'resume', { timeout: 60 })],
      'pause and connect': async (id) => [await e2b.does(id, 'pause'), await e2b.does(id, 'connect', { timeout: 60 })],
    };
    for (const [name, change] of Object.entries(changes)) {
      app.clock.now = startTime;
      const id = await e2b.create();
      back();
      const statuses = [await change(id)].flat();
      for (const status of statuses) expect(status, name).to.be.within(200, 204);
      const { startedAt, endAt, state } = await e2b.read(id);
      expect(state, name).to.equal('running');
      expect(Date.parse(endAt), name).to.be.at.least(Date.parse(startedAt));
      const { created_at: created, expires_at: expires } = await session(id, 'session');
      expect(Date.parse(expires), name).to.be.at.least(Date.parse(created));
      expect((await session(id, 'status')).uptime_seconds, name).to.be.at.least(0);
    }
  });

  it('a paused and a killed sandbox end no earlier than they start, as their events say', async () => {
    const [paused, killed, bulk] = [await e2b.create(), await e2b.create(), await e2b.create()];
    back();
    await e2b.does(paused, 'pause');
    expect(await e2b.read(paused)).to.include({ state: 'paused', startedAt: timeAt(0), endAt: timeAt(0) });
    expect(await lastEvents(paused, 1)).to.deep.equal([['vm.suspended', timeAt(0)]]);
    await e2b.remove(`/sandboxes/${killed}`);
    await app.http.post('/v1/sandboxes/kill').set(apiKey(alice)).send({ status: 'active' });
    const ends = app.server.context.store.sqlite.prepare('select end_at from sandboxes where id = ?').pluck();
    for (const id of [killed, bulk]) {
      expect(ends.get(id)).to.equal(startTime);
      expect(await lastEvents(id, 1)).to.deep.equal([['vm.killed', timeAt(0)]]);
    }
  });

  it('a timeout of 0 ends or pauses a sandbox at once', async () => {
    const [killed, paused] = [await e2b.create(), await e2b.create({ autoPause: true })];
    back();
    for (const id of [killed, paused]) expect(await e2b.does(id, 'timeout', { timeout: 0 })).to.equal(204);
    expect((await e2b.get(`/sandboxes/${killed}`)).status).to.equal(404);
    expect((await vm(killed)).status).to.equal('killed');
    expect(await e2b.read(paused)).to.include({ state: 'paused', endAt: timeAt(0) });
    expect(await lastEvents(killed, 2)).to.deep.equal([
      ['vm.expired', timeAt(0)],
      ['vm.updated', timeAt(0)],
    ]);
  });
});

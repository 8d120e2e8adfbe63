import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { prune, sweep } from '../../app/jobs/tasks.ts';
import { MachineError } from '../../app/machines/error.ts';
import { recordCreateFailed } from '../../app/machines/launch/failed.ts';
import { EventFeed } from '../../db/events/feed.ts';
import { eventKinds } from '../../db/events/kinds.ts';
import { allEvents, listEvents } from '../../db/events/list.ts';
import { deleteOldEvents, type Event } from '../../db/events/log.ts';
import { cli } from '../../db/events/record.ts';
import { endLost } from '../../db/machines/lost.ts';
import { endSandbox, extendSandbox, updateSandbox } from '../../db/sandboxes/change.ts';
import { createSandbox } from '../../db/sandboxes/create.ts';
import { endDueSandboxes } from '../../db/sandboxes/expire.ts';
import { forkSandbox } from '../../db/sandboxes/fork.ts';
import { killMatching } from '../../db/sandboxes/kill.ts';
import { deleteEnded } from '../../db/sandboxes/prune.ts';
import { connectSandbox, pauseSandbox, resumeSandbox } from '../../db/sandboxes/runs.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { disableEndpoint } from '../../db/webhooks/health.ts';
import { sandpit } from '../helpers/processes/process.ts';
import { actor, apiKey, clientOf, itHere, startApp, type TestApp } from '../helpers/server.ts';

const ofSandbox = fc.record({
  kind: fc.constantFrom('fork', 'update', 'extend', 'end', 'pause', 'resume', 'resume', 'connect'),
  which: fc.nat(2),
});
const onTimeout = fc.constantFrom('kill' as const, 'pause' as const);
const operation = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('create' as const), onTimeout }) },
  { weight: 6, arbitrary: ofSandbox },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('kill all' as const, 'sweep' as const, 'delete' as const) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 40, 130) }) },
);

describe('the event log', () => {
  let app: TestApp;
  beforeEach(async () => {
    app = await startApp();
  });

  const everything = async (): Promise<Event[]> =>
    (await listEvents(app.server.context.store.db, { ...allEvents, limit: 100_000 })).events;
  const detailsOf = ({ details }: Event) => JSON.parse(details);

  it('replays to the present state of every sandbox', async () => {
    const { store } = app.server.context;
    const { db } = store;
    let owners = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 3, maxLength: 25 }), async (operations) => {
        const owner = await app.addUser(`owner-${owners++}`);
        const by = actor(owner);
        const now = () => app.clock.now;
        const request = { templateId: null, metadata: {}, env: null, lifetimeSeconds: 100 };
        const ids: string[] = [];
        for (const each of operations) {
          const id = ids['which' in each ? each.which % Math.max(1, ids.length) : 0] ?? 'none';
          // The state of the sandbox makes many requests invalid; those record no event.
          const attempt = async (work: Promise<unknown>) => void (await work.catch(() => undefined));
          if (each.kind === 'create') {
            ids.push(
              (
                await inTransaction(db, (trx) =>
                  createSandbox(trx, now(), by, { ...request, onTimeout: each.onTimeout }),
                )
              ).id,
            );
          } else if (each.kind === 'fork') {
            const forked = forkSandbox(db, now, by, id, { count: 2, lifetimeSeconds: 50 });
            await attempt(forked.then((made) => ids.push(...made.map((sandbox) => sandbox.id))));
          } else if (each.kind === 'update')
            await attempt(inTransaction(db, (trx) => updateSandbox(trx, now(), by, id, { metadata: { n: 1 } })));
          else if (each.kind === 'extend')
            await attempt(inTransaction(db, (trx) => extendSandbox(trx, now(), by, id, 90)));
          else if (each.kind === 'end') await attempt(inTransaction(db, (trx) => endSandbox(trx, now(), by, id)));
          else if (each.kind === 'pause') await attempt(inTransaction(db, (trx) => pauseSandbox(trx, now(), by, id)));
          else if (each.kind === 'resume')
            await attempt(inTransaction(db, (trx) => resumeSandbox(trx, now(), by, id, 60)));
          else if (each.kind === 'connect')
            await attempt(inTransaction(db, (trx) => connectSandbox(trx, now(), by, id, 120)));
          else if (each.kind === 'sweep') await inTransaction(db, (trx) => endDueSandboxes(trx, now(), 1));
          else if (each.kind === 'delete') await inTransaction(db, (trx) => deleteEnded(trx, now(), now(), 1));
          else if (each.kind === 'wait') app.clock.now += each.seconds * 1000;
          else if (each.kind === 'kill all') {
            const criteria = { metadata: {}, statuses: ['active', 'paused'] as const, olderThanSeconds: 30, limit: 2 };
            await inTransaction(db, (trx) =>
              killMatching(trx, now, by, { ...criteria, statuses: [...criteria.statuses] }),
            );
          }
        }
        const told = await replayed(owner.id);
        const there = store.sqlite
          .prepare('select id, status, end_at from sandboxes where owner_id = ? order by id')
          .raw()
          .all(owner.id);
        expect(told).to.deep.equal(there);
      }),
      { numRuns: 150 },
    );
  });

  /**
   * Replays the events to the id, status and end of each sandbox. Each event must start from the
   * state that the previous one left.
   */
  async function replayed(ownerId: number): Promise<unknown[]> {
    const { events } = await listEvents(app.server.context.store.db, { ...allEvents, ownerId, limit: 100_000 });
    const known = new Map<string, { status: string; endAt: string | null }>();
    for (const event of events.filter(({ kind }) => kind.startsWith('vm.'))) {
      const { from, to, end_at: endAt } = detailsOf(event);
      const before = known.get(event.subject);
      if (event.kind !== 'vm.updated') expect(from, event.kind).to.equal(before?.status);
      if (event.kind === 'vm.deleted') known.delete(event.subject);
      else known.set(event.subject, { status: to ?? before?.status, endAt: endAt ?? before?.endAt });
    }
    const rows = [...known].map(([id, { status, endAt }]) => [id, status, endAt && Date.parse(endAt)]);
    return rows.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  }

  itHere('records every kind of the catalogue, whatever its cause, and no other', async () => {
    await app.close();
    // Off until needed, because the records imported below must stay.
    app = await startApp({ retention: 1000, sweepSeconds: 3600 });
    const { context } = app.server;
    const alice = await app.addUser('alice', 'correct horse');
    const key = apiKey(alice);
    const call = (method: 'post' | 'patch' | 'put' | 'delete', path: string, body: object = {}) =>
      app.http[method](path).set(key).send(body);
    const { vm_id: id } = (await call('post', '/v1/vms')).body;
    await call('patch', `/v1/vms/${id}`, { metadata: { a: 1 } });
    await call('post', `/v1/vms/${id}/suspend`);
    await call('post', `/v1/vms/${id}/resume`);
    for (let n = 0; n < 2; n++) await call('post', `/sandboxes/${id}/snapshots`, { name: 'mine' });
    await call('delete', '/templates/mine');
    const { body: snapshot } = await call('post', '/v1/snapshots', { oci_image: 'debian' });
    const terminal = { tmux_session: 'main', command: 'sh', cwd: '/' };
    const vm = { memory_mb: 512, vcpus: 2 };
    const manifest = { kind: 'devbox', slug: 'a', name: 'a', version: '1', audience: 'devbox', vm, terminal };
    await call('post', '/v1/templates', { manifest, snapshot_id: snapshot.id });
    await call('delete', `/v1/snapshots/${snapshot.id}`);
    await call('post', '/v1/sessions/session', { api_key: alice.key });
    await call('post', '/sandboxes', { templateID: 'base', timeout: 15, autoPause: true });
    await call('delete', `/v1/vms/${id}`);
    const made = await call('post', '/v1/api-keys/');
    await call('patch', `/v1/api-keys/${made.body.id}`, { description: 'other' });
    await call('delete', `/v1/api-keys/${made.body.id}`);
    await call('delete', `/v1/api-keys/${made.body.id}`);
    const line = `ssh-ed25519 ${Buffer.from('\0\0\0\x0bssh-ed25519').toString('base64')}`;
    const added = await call('post', '/v1/ssh-keys', { public_key: line });
    await call('post', '/v1/ssh-keys', { public_key: `${line} laptop` });
    await call('delete', `/v1/ssh-keys/${added.body.id}`);
    await app.http.post('/v1/auth/token').type('form').send({ username: 'alice', password: 'correct horse' });
    const hook = (await call('post', '/v1/webhooks/endpoints', { url: 'https://example.com/' })).body;
    await call('patch', `/v1/webhooks/endpoints/${hook.id}`, { description: 'mine' });
    await call('post', `/v1/webhooks/endpoints/${hook.id}/rotate-secret`);
    await inTransaction(context.store.db, (trx) => disableEndpoint(trx, app.clock.now, { ...hook, ownerId: alice.id }));
    await call('delete', `/v1/webhooks/endpoints/${hook.id}`);
    app.clock.now += 400_000;
    await sweep(context);
    app.clock.now += 2000;
    await prune(context);
    await command(['users', 'passwd', 'alice'], 'another one');
    const record = { owner: 'alice', metadata: {}, started_at: '2025-01-01T00:00:00Z', status: 'killed' };
    await command(['import', '-'], ['a', 'b'].map((i) => JSON.stringify({ ...record, sandbox_id: i })).join('\n'));
    const by = { ...cli, ownerId: alice.id };
    await recordCreateFailed({ ...context, now: () => 0 }, by, id, new MachineError('timeout', 'late'), {});
    const { id: lost } = await inTransaction(context.store.db, (trx) =>
      createSandbox(trx, app.clock.now, by, { templateId: null, metadata: {}, env: null, lifetimeSeconds: 60 }),
    );
    await inTransaction(context.store.db, (trx) => endLost(trx, app.clock.now, [lost], 'machine_died'));
    const events = await everything();
    expect([...new Set(events.map(({ kind }) => kind))].sort()).to.deep.equal(Object.keys(eventKinds).sort());
    const of = (kind: string) => events.filter((event) => event.kind === kind);
    expect(of('vm.imported').map(detailsOf)).to.deep.equal([{ count: 2 }]);
    expect(of('api_key.revoked')).to.have.length(1);
    expect(
      of('vm.expired')
        .concat(of('vm.auto_suspended'), of('vm.deleted'))
        .map(({ via }) => via),
    ).to.deep.equal(['sweeper', 'sweeper', 'sweeper', 'sweeper']);
    expect(new Set(events.filter(({ via }) => via === 'api').map(({ requestId }) => requestId === null))).to.deep.equal(
      new Set([false]),
    );
  });

  const command = async (args: string[], input = '') => {
    const { code, stderr } = await sandpit([...args, '--db', app.server.context.config.db], { input });
    expect(code, stderr).to.equal(0);
  };

  it('records nothing that was refused or failed', async () => {
    const alice = await app.addUser('alice');
    const { create, update, end } = clientOf(app, alice);
    const { vm_id: id } = (await create()).body;
    const snapshot = (name: string) => app.http.post(`/v1/vms/${id}/snapshot`).set(apiKey(alice)).send({ name });
    await snapshot('taken').expect(201);
    await end(id);
    const paused = (await create()).body.vm_id;
    await app.http.post(`/v1/vms/${paused}/suspend`).set(apiKey(alice)).send({});
    const before = await everything();
    await end(id).expect(200);
    await update(id, { metadata: {} }).expect(409);
    await update('unknown', { metadata: {} }).expect(404);
    await update(paused, { metadata: { a: 1 }, vm_lifetime_seconds: 60 }).expect(409);
    await update(paused, {}).expect(200);
    await app.http.post(`/v1/vms/${paused}/suspend`).set(apiKey(alice)).send({}).expect(409);
    await create({ metadata: { text: 'x'.repeat(70_000) } }).expect(422);
    await snapshot('taken').expect(409);
    await app.http.delete('/v1/snapshots/unknown').set(apiKey(alice)).expect(404);
    const lines = join(app.dir, 'lines');
    const record = { owner: 'alice', metadata: {}, started_at: '2025-01-01T00:00:00Z', status: 'killed' };
    writeFileSync(lines, [{ ...record, sandbox_id: 'a' }, record].map((each) => JSON.stringify(each)).join('\n'));
    expect((await sandpit(['import', lines, '--db', app.server.context.config.db])).code).to.equal(1);
    expect(await everything()).to.deep.equal(before);
  });

  itHere('stores an event and its change together or not at all', async () => {
    const alice = await app.addUser('alice');
    const { sqlite } = app.server.context.store;
    const { vm_id: id } = (await clientOf(app, alice).create()).body;
    sqlite.exec("create temp trigger broken before insert on events begin select raise(abort, 'broken'); end");
    await clientOf(app, alice).end(id).expect(500);
    await clientOf(app, alice).create().expect(500);
    sqlite.exec('drop trigger broken');
    expect((await clientOf(app, alice).read(id)).body.status).to.equal('active');
    expect(await clientOf(app, alice).matching({})).to.equal(1);
    expect((await everything()).at(-1)).to.include({ kind: 'vm.created', subject: id });
  });

  itHere('is pruned in steps by age, and never reuses a sequence number', async () => {
    await app.close();
    app = await startApp({ eventRetention: 3_600_000, sweepSeconds: 3600 });
    const { context } = app.server;
    const alice = await app.addUser('alice');
    for (let n = 0; n < 600; n++)
      await inTransaction(context.store.db, (trx) => createSandbox(trx, context.now(), actor(alice), plain));
    app.clock.now += 1;
    await clientOf(app, alice).create();
    app.clock.now += 3_600_000;
    await prune(context);
    expect((await everything()).map(({ seq }) => seq)).to.deep.equal([603]);
    expect(app.log()).to.contain('"deleted":602');
    app.clock.now += 1;
    await prune(context);
    expect(await everything()).to.deep.equal([]);
    await clientOf(app, alice).create();
    expect((await everything()).map(({ seq }) => seq)).to.deep.equal([604]);
  });

  itHere('prunes events from a clock that was ahead, and leaves no gap after the first event kept', async () => {
    await app.close();
    app = await startApp({ eventRetention: 3_600_000, sweepSeconds: 3600 });
    const { context } = app.server;
    const alice = await app.addUser('alice');
    const create = async (times: number) => {
      for (let n = 0; n < times; n++)
        await inTransaction(context.store.db, (trx) => createSandbox(trx, context.now(), actor(alice), plain));
    };
    await inTransaction(context.store.db, (trx) => deleteOldEvents(trx, { now: Infinity, before: Infinity }, 10));
    const { now } = app.clock;
    app.clock.now = now + 86_400_000;
    await create(600);
    app.clock.now = now;
    await create(600);
    await prune(context);
    expect(await everything()).to.have.length(1200);
    app.clock.now = now + 3_600_001;
    await create(2);
    await prune(context);
    expect((await everything()).map(({ at }) => at)).to.deep.equal([app.clock.now, app.clock.now]);
  });

  const plain = { templateId: null, metadata: {}, env: null, lifetimeSeconds: 86_400 };

  it('is deleted with its user', async () => {
    const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
    await clientOf(app, alice).create();
    await command(['users', 'delete', 'alice', '--with-sandboxes']);
    const owners = (await everything()).map(({ ownerId }) => ownerId);
    expect(owners).to.include(bob.id).and.not.include(alice.id);
  });

  itHere(
    'wakes listeners after a commit by any process, but not after a rollback or a commit without events',
    async () => {
      const { store } = app.server.context;
      const alice = await app.addUser('alice');
      const feed = new EventFeed(store);
      let rings = 0;
      let heard = () => {};
      const unsubscribe = feed.subscribe(null, () => {
        rings++;
        heard();
      });
      let ringsForAlice = 0;
      const unsubscribeToo = feed.subscribe(alice.id, () => ringsForAlice++);
      const create = () => inTransaction(store.db, (trx) => createSandbox(trx, 0, actor(alice), plain));
      await create();
      expect(rings).to.equal(1);
      await inTransaction(store.db, async () => {});
      const failure = inTransaction(store.db, async (trx) => {
        await endDueSandboxes(trx, Number.MAX_SAFE_INTEGER, 1);
        throw new Error('undone');
      });
      expect(await failure.catch(({ message }) => message)).to.equal('undone');
      expect(rings).to.equal(1);
      // Reuses the sequence number that was rolled back.
      await create();
      expect([rings, ringsForAlice]).to.deep.equal([2, 2]);
      await app.addUser('bob');
      expect(rings).to.be.above(2);
      expect(ringsForAlice, "for somebody else's events").to.equal(2);
      rings = 2;
      const other = openStore(app.server.context.config.db);
      const ring = new Promise<void>((resolve) => {
        heard = resolve;
      });
      await inTransaction(other.db, (trx) => createSandbox(trx, 0, actor(alice), plain));
      await ring;
      await other.close();
      unsubscribe();
      await create();
      expect([rings, ringsForAlice], 'one by the other process, one without the first').to.deep.equal([3, 4]);
      unsubscribeToo();
    },
  );
});

import { expect } from 'chai';
import { prune } from '../../app/jobs/tasks.ts';
import { deleteUser } from '../../db/accounts/users.ts';
import { inTransaction } from '../../db/store.ts';
import { idsOf, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { serve } from '../helpers/processes/process.ts';
import { apiKey, type Caller, clientOf, itHere, temporaryDirectory } from '../helpers/server.ts';

const day = 86_400_000;

describe('Idempotency-Key', () => {
  const { app, alice, bob, e2b, bobs } = useE2b();
  const native = clientOf(app, alice);

  const post = (path: string, key: string, body?: object, caller: Caller = alice) =>
    app.http.post(path).set(apiKey(caller)).set('Idempotency-Key', key).send(body);
  const create = (key: string, body: object = {}, caller: Caller = alice) =>
    post('/v2/sandboxes', key, { templateID: 'base', ...body }, caller);
  const keys = () =>
    app.server.context.store.sqlite
      .prepare('select count(*) from idempotency_keys where owner_id = ?')
      .pluck()
      .get(alice.id);

  it('gives the same answer to the same request, and starts one sandbox', async () => {
    const requests: [string, object][] = [
      ['/sandboxes', { templateID: 'base' }],
      ['/v2/sandboxes', { templateID: 'base', metadata: { a: '1' } }],
      ['/v1/vms', { metadata: { a: { b: 1 } } }],
      ['/v1/sessions/session', { api_key: alice.key }],
    ];
    for (const [count, [path, body]] of requests.entries()) {
      const [first, second] = [await post(path, `key-${count}`, body), await post(path, `key-${count}`, body)];
      expect(first.status, path).to.be.oneOf([200, 201]);
      expect([second.status, second.text], path).to.deep.equal([first.status, first.text]);
      expect(await e2b.listed(), path).to.have.length(count + 1);
    }
  });

  it('starts the same forks and clones once, and again for another sandbox', async () => {
    const id = await e2b.create();
    const fork = () => post(`/sandboxes/${id}/fork`, 'fork', { count: 3 });
    const [first, second] = [await fork(), await fork()];
    expect([first.status, first.body.length]).to.deep.equal([201, 3]);
    expect([second.status, second.body]).to.deep.equal([201, first.body]);
    const clone = () => post(`/v1/vms/${id}/clone`, 'clone');
    const [copy, same] = [await clone(), await clone()];
    expect([same.status, same.text]).to.deep.equal([201, copy.text]);
    expect(await e2b.listed()).to.have.length(5);
    await e2b.remove(`/sandboxes/${id}`);
    expect((await fork()).body).to.deep.equal(first.body);
    expect((await clone()).body.vm_id).to.equal(copy.body.vm_id);
  });

  it('starts one sandbox for a hundred requests at once', async () => {
    const id = await e2b.create();
    const answers = await Promise.all(Array.from({ length: 100 }, () => create('at-once')));
    const forks = await Promise.all(Array.from({ length: 20 }, () => post(`/sandboxes/${id}/fork`, 'f', { count: 9 })));
    expect(new Set(idsOf(answers.map(({ body }) => body))).size).to.equal(1);
    expect(new Set(forks.map(({ text }) => text)).size).to.equal(1);
    expect(await e2b.listed()).to.have.length(1 + 1 + 9);
  });

  itHere('makes the rest of a fork that was cut short', async () => {
    const large = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [n, 'x'.repeat(100_000)]));
    const id = await e2b.create({ envVars: large });
    const { context } = app.server;
    const fork = () => post(`/sandboxes/${id}/fork`, 'cut', { count: 3, timeout: 60 });
    const failing = context.store.sqlite.prepare(
      `create temp trigger fail before insert on sandboxes when (select count(*) from sandboxes where owner_id = ${alice.id}) >= 3
      begin select raise(abort, 'no more'); end`,
    );
    failing.run();
    expect((await fork()).status).to.equal(500);
    context.store.sqlite.exec('drop trigger fail');
    const made = (await e2b.listed()).filter((each) => each !== id);
    expect(made).to.have.length(2);
    const { status, body } = await fork();
    const ids = idsOf(body.map(({ sandbox }: { sandbox: { sandboxID: string } }) => sandbox));
    expect([status, ids.length]).to.deep.equal([201, 3]);
    expect(ids).to.include.members(made);
    expect(await e2b.listed()).to.have.length(4);
  });

  it('422: another body, path or sandbox with the same key; 409 outside of E2B', async () => {
    const { sandboxID } = (await create('used')).body;
    const message = 'This Idempotency-Key was used for another request: use a new key';
    const refusals = [
      await create('used', { metadata: { a: '1' } }),
      await post('/sandboxes', 'used', { templateID: 'base' }),
      await post(`/sandboxes/${sandboxID}/fork`, 'used'),
    ];
    for (const { status, body } of refusals) {
      const expected = { code: 422, message, error_code: 'idempotency_request_mismatch' };
      expect([status, body]).to.deep.equal([422, expected]);
    }
    for (const [path, body] of [
      ['/v1/vms', {}],
      [`/v1/vms/${sandboxID}/clone`, {}],
      ['/v1/sessions/session', { api_key: alice.key }],
    ] as const) {
      const refused = await post(path, 'used', body);
      expect([refused.status, refused.body], path).to.deep.equal([409, { detail: message }]);
    }
    expect(await e2b.listed()).to.deep.equal([sandboxID]);
  });

  it("keeps each user's keys apart", async () => {
    const mine = (await create('shared')).body.sandboxID;
    const theirs = await create('shared', { timeout: 60 }, bob);
    expect([theirs.status, await e2b.listed(), await bobs.listed()]).to.deep.equal([
      201,
      [mine],
      [theirs.body.sandboxID],
    ]);
  });

  it('leaves the key of a refused request unused', async () => {
    const paused = await e2b.create();
    await e2b.does(paused, 'pause');
    expect((await create('again', { timeout: -1 })).status).to.equal(400);
    expect((await post(`/sandboxes/${paused}/fork`, 'again')).status).to.equal(409);
    expect((await post('/v1/vms/i00000000000000000000/clone', 'again')).status).to.equal(404);
    expect((await create('again')).status).to.equal(201);
  });

  it('400: a key that E2B has no such form for; 422 elsewhere, where any visible ASCII will do', async () => {
    for (const key of ['', 'a'.repeat(256), 'Upper', 'under_score', 'a b']) {
      const { status, body } = await create(key);
      expect([status, body.code, /header.idempotency-key/.test(body.message)], key).to.deep.equal([400, 400, true]);
    }
    expect((await create('a'.repeat(255))).status).to.equal(201);
    for (const key of ['', 'a'.repeat(256), 'a b']) expect((await post('/v1/vms', key)).status, key).to.equal(422);
    expect((await post('/v1/vms', 'Under_Score.1')).status).to.equal(201);
  });

  it('answers with the sandbox as it is now', async () => {
    const first = await post('/v1/vms', 'now', { metadata: { a: 1 } });
    await native.update(first.body.vm_id, { metadata: { a: 2 } });
    await native.end(first.body.vm_id);
    const { status, body, headers } = await post('/v1/vms', 'now', { metadata: { a: 1 } });
    expect([status, body.vm_id, body.status, body.metadata]).to.deep.equal([201, first.body.vm_id, 'killed', { a: 2 }]);
    expect(headers.location).to.equal(`/v1/vms/${first.body.vm_id}`);
    expect(await e2b.get(`/sandboxes/${body.vm_id}`).then((answer) => answer.body)).to.deep.equal(unknown(body.vm_id));
  });

  itHere('409: a sandbox that retention has deleted', async () => {
    await create('gone', { timeout: 1 });
    await post('/v1/vms', 'gone-too', { vm_lifetime_seconds: 20 });
    const { sqlite } = app.server.context.store;
    sqlite.prepare('delete from sandboxes where owner_id = ?').run(alice.id);
    const message = 'The sandbox that this Idempotency-Key started has been deleted since: use a new key';
    const lost = await create('gone', { timeout: 1 });
    const expected = { code: 409, message, error_code: 'idempotency_outcome_unknown' };
    expect([lost.status, lost.body]).to.deep.equal([409, expected]);
    expect((await post('/sandboxes', 'v1', { templateID: 'base', timeout: 1 })).status).to.equal(201);
    sqlite.prepare('delete from sandboxes where owner_id = ?').run(alice.id);
    expect((await post('/sandboxes', 'v1', { templateID: 'base', timeout: 1 })).status).to.equal(409);
    const native = await post('/v1/vms', 'gone-too', { vm_lifetime_seconds: 20 });
    expect([native.status, native.body]).to.deep.equal([409, { detail: message }]);
  });

  itHere('keeps a key for a day, then the sweeper deletes it', async () => {
    const first = (await create('daily')).body.sandboxID;
    app.clock.now += day;
    await prune(app.server.context);
    expect((await create('daily')).body.sandboxID).to.equal(first);
    app.clock.now += 1;
    await prune(app.server.context);
    expect(keys()).to.equal(0);
    expect((await create('daily')).body.sandboxID).not.to.equal(first);
  });

  it('outlives a crash of the server', async () => {
    const db = `${temporaryDirectory()}/sandpit.db`;
    const args = ['--db', db, '--api-key', `e2b_${'7'.repeat(40)}`];
    const ids: string[] = [];
    for (let run = 0; run < 2; run++) {
      const server = await serve(args);
      const answer = await fetch(`${server.url}/v2/sandboxes`, {
        method: 'POST',
        headers: {
          'X-API-Key': `e2b_${'7'.repeat(40)}`,
          'Idempotency-Key': 'crash',
          'Content-Type': 'application/json',
        },
        body: '{"templateID":"base"}',
      });
      ids.push(((await answer.json()) as { sandboxID: string }).sandboxID);
      await server.stop('SIGKILL');
    }
    expect(ids[0]).to.match(/^i/).and.to.equal(ids[1]);
  });

  itHere('is deleted with its user', async () => {
    await create('mine');
    const { db } = app.server.context.store;
    await inTransaction(db, (trx) => deleteUser(trx, alice.name, { withSandboxes: true }));
    expect(keys()).to.equal(0);
  });
});

import { expect } from 'chai';
import type { components } from '../../spec/types.gen.ts';
import { timeAt, useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey } from '../helpers/server.ts';

type Event = components['schemas']['SandboxEvent'];

describe("E2B's events of sandboxes", () => {
  const { app, alice, bob, e2b, bobs } = useE2b();

  const events = async (query = '', path = '/events/sandboxes', caller = e2b): Promise<Event[]> => {
    const { status, body } = await caller.get(`${path}?${query}`);
    expect(status, JSON.stringify(body)).to.equal(200);
    return body;
  };
  const typesOf = (found: Event[]) => found.map(({ type }) => type.replace('sandbox.lifecycle.', ''));

  it('shows the life of a sandbox, newest first, in E2B words', async () => {
    const id = await e2b.create({ metadata: { a: 'b' } });
    await e2b.post(`/sandboxes/${id}/timeout`, { timeout: 60 });
    await e2b.post(`/sandboxes/${id}/pause`);
    await e2b.post(`/sandboxes/${id}/connect`, { timeout: 60 });
    await e2b.remove(`/sandboxes/${id}`);
    await app.http.post('/v1/snapshots').set(apiKey(alice)).send({ oci_image: 'x' });
    const found = await events();
    expect(typesOf(found)).to.deep.equal(['killed', 'resumed', 'paused', 'updated', 'created']);
    const { session_id: session } = (await app.http.get(`/v1/vms/${id}`).set(apiKey(alice))).body;
    const team = `00000000-0000-0000-0000-${alice.id.toString(16).padStart(12, '0')}`;
    expect(found[4]).to.deep.include({
      version: 'v1',
      type: 'sandbox.lifecycle.created',
      eventData: null,
      sandboxExecutionId: session,
      sandboxId: id,
      sandboxTeamId: team,
      sandboxTemplateId: 'base',
      timestamp: timeAt(0),
    });
    expect(found[4]?.id).to.match(/^evt_\d+$/);
    expect(found[3]?.eventData).to.deep.equal({ set_timeout: timeAt(60) });
  });

  it('pages by offset and limit, in both orders, and filters by types', async () => {
    for (let n = 0; n < 12; n++) await e2b.create();
    await e2b.remove(`/sandboxes/${await e2b.create()}`);
    expect(await events()).to.have.length(10);
    const all = await events('limit=100');
    expect(all).to.have.length(14);
    expect(await events('offset=3&limit=4')).to.deep.equal(all.slice(3, 7));
    expect(await events('offset=13')).to.deep.equal(all.slice(13));
    expect(await events('offset=10000')).to.deep.equal([]);
    expect(await events('limit=100&orderAsc=true')).to.deep.equal(all.toReversed());
    expect(await events('limit=100&orderAsc=false')).to.deep.equal(all);
    expect(typesOf(await events('types=sandbox.lifecycle.killed'))).to.deep.equal(['killed']);
    const two = 'types=sandbox.lifecycle.killed&types=sandbox.lifecycle.paused';
    expect(typesOf(await events(two))).to.deep.equal(['killed']);
  });

  it("shows one sandbox's events, also after its end, and never another owner's", async () => {
    const id = await e2b.create();
    await bobs.create();
    const path = `/events/sandboxes/${id}`;
    const found = await events('', path);
    expect(typesOf(found)).to.deep.equal(['created']);
    expect(await events('', `${path}-6532622b`)).to.deep.equal(found);
    expect(await events('', path, bobs)).to.deep.equal([]);
    expect(await events('', '/events/sandboxes/i00000000000000000000')).to.deep.equal([]);
    expect((await events('', '/events/sandboxes', bobs)).every(({ sandboxId }) => sandboxId !== id)).to.equal(true);
    app.clock.now += 400_000;
    const ended = await events('orderAsc=true', path);
    expect(typesOf(ended)[0]).to.equal('created');
  });

  it("400 in E2B's shape: a bad parameter, or an offset beyond 10,000", async () => {
    for (const path of ['/events/sandboxes', '/events/sandboxes/i0']) {
      for (const query of ['limit=0', 'limit=101', 'offset=-1', 'types=vm.created', 'orderAsc=up'])
        await e2b.refused(query, /^validation error: /, path);
      await e2b.refused(
        'offset=10001',
        /^offset: at most 10000 events can be skipped\..*GET \/v1\/audit\/events/,
        path,
      );
      const { status, body } = await app.http.get(path);
      expect([status, body.code]).to.deep.equal([401, 401]);
    }
    expect(bob.key).not.to.equal(alice.key);
  });
});

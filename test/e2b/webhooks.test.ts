import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { useHooks } from '../helpers/clients/webhook-client.ts';
import { apiKey } from '../helpers/server.ts';

/** The check of E2B's documentation, in its words. */
function signatureOf(secret: string, body: string): string {
  const hash = createHash('sha256')
    .update(secret + body)
    .digest('base64');
  return hash.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

describe("E2B's webhooks", () => {
  const hooks = useHooks();
  const secret = 'not base64, but a text: é';
  const given = () => ({
    name: 'mine',
    url: hooks().receiver.url,
    events: ['sandbox.lifecycle.created', 'sandbox.lifecycle.killed'],
    signatureSecret: secret,
  });
  const register = async (body: object = {}) => {
    const { status, body: made } = await hooks().ask('post', '/events/webhooks', { ...given(), ...body });
    expect(status, JSON.stringify(made)).to.equal(201);
    return made;
  };
  const path = (id: string) => `/events/webhooks/${id}`;

  it('are registered, read, changed and deleted, without showing the secret', async () => {
    const made = await register();
    const { alice } = hooks();
    const teamID = `00000000-0000-0000-0000-${alice.id.toString(16).padStart(12, '0')}`;
    const { name, url, events } = given();
    const expected = {
      id: made.id,
      teamID,
      teamId: teamID,
      name,
      createdAt: made.createdAt,
      enabled: true,
      url,
      events,
    };
    expect(made).to.deep.equal(expected);
    expect((await hooks().ask('get', path(made.id))).body).to.deep.equal(expected);
    expect((await hooks().ask('get', '/events/webhooks')).body).to.deep.equal([expected]);
    const change = { name: 'n', enabled: false, events: ['sandbox.lifecycle.paused'], url: 'https://example.com/' };
    const { status, body } = await hooks().ask('patch', path(made.id), change);
    expect([status, body]).to.deep.equal([200, { ...expected, ...change }]);
    expect((await hooks().ask('delete', path(made.id))).status).to.equal(200);
    expect((await hooks().ask('get', path(made.id))).body).to.deep.equal({
      code: 404,
      message: `Webhook "${made.id}" doesn't exist or you don't have access to it`,
    });
    expect(await register({ enabled: false })).to.include({ enabled: false });
  });

  it("send E2B's body and headers, signed with the owner's secret", async () => {
    const { id } = await register();
    const { alice, app, receiver } = hooks();
    const created = await app.http
      .post('/sandboxes')
      .set(apiKey(alice))
      .send({ templateID: 'base', metadata: { a: 'b' } });
    const sandbox = created.body.sandboxID;
    await app.http.delete(`/sandboxes/${sandbox}`).set(apiKey(alice));
    const messages = await receiver.received(2);
    const first = messages.find(({ payload }) => payload.type === 'sandbox.lifecycle.created');
    expect(first?.payload).to.deep.include({
      version: 'v1',
      eventData: { sandbox_metadata: { a: 'b' } },
      sandboxId: sandbox,
      sandboxTemplateId: 'base',
    });
    for (const { headers, body } of messages) {
      expect(headers).to.include({ 'e2b-webhook-id': id, 'e2b-signature-version': 'v1' });
      expect(headers['e2b-signature']).to.equal(signatureOf(secret, body));
      expect(headers).not.to.have.any.keys('webhook-signature', 'instavm-signature');
    }
    expect(new Set(messages.map(({ headers }) => headers['e2b-delivery-id'])).size).to.equal(2);
    await hooks().ask('patch', path(id), { signatureSecret: 'another' });
    await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    const [, , test] = await receiver.received(3);
    expect(test?.payload).to.include({ type: 'webhook.test', sandboxId: '' });
    expect(test?.headers['e2b-signature']).to.equal(signatureOf('another', test?.body ?? ''));
    expect(app.log()).not.to.contain(secret);
  });

  it('are repeated three times, 10 seconds apart, each attempt under an id of its own', async () => {
    hooks().receiver.answer = (res) => res.writeHead(500).end();
    await register();
    await hooks().start();
    for (let attempts = 1; attempts <= 3; attempts++) {
      await hooks().noted(([first]) => first?.attempts === attempts && first.status === 'pending');
      hooks().app.clock.now += 9999;
      await hooks().deliveries();
      expect(hooks().receiver.messages).to.have.length(attempts);
      hooks().app.clock.now += 1;
    }
    const [delivery] = await hooks().noted(([first]) => first?.status === 'failed');
    expect(delivery?.attempts).to.equal(4);
    const ids = hooks().receiver.messages.map(({ headers }) => headers['e2b-delivery-id']);
    expect(new Set(ids).size).to.equal(4);
  });

  it('are visible among the endpoints of /v1, and these here if they get events of sandboxes', async () => {
    const { id } = await register();
    const shown = (await hooks().ask('get', `/v1/webhooks/endpoints/${id}`)).body;
    expect(shown).to.deep.include({
      description: 'mine',
      event_patterns: ['vm.created', 'vm.killed', 'vm.expired', 'vm.died'],
      format: 'e2b',
      max_retries: 3,
      include_metadata: true,
    });
    expect(JSON.stringify(shown)).not.to.contain(secret);
    const all = await hooks().hook({ enabled: false });
    const some = await hooks().hook({ enabled: false, event_patterns: ['vm.killed', 'user.*'], description: 'd' });
    const none = await hooks().hook({ enabled: false, event_patterns: ['snapshot.*', 'vm.deleted'] });
    const listed = (await hooks().ask('get', '/events/webhooks')).body;
    expect(listed.map((each: { id: string }) => each.id)).to.have.members([id, all.id, some.id]);
    const read = async (webhook: string) => (await hooks().ask('get', path(webhook))).body;
    expect((await read(all.id)).events).to.have.length(5);
    expect(await read(some.id)).to.deep.include({ events: ['sandbox.lifecycle.killed'], name: 'd' });
    expect(await read(none.id)).to.include({ code: 404 });
    const refused = await hooks().ask('patch', path(all.id), { signatureSecret: 'x' });
    expect([refused.status, refused.body.message]).to.deep.equal([
      400,
      `signatureSecret: the webhook was made through /v1/webhooks. POST /v1/webhooks/endpoints/${all.id}/rotate-secret gives it another secret`,
    ]);
    expect((await hooks().ask('patch', path(all.id), { name: 'x' })).body.name).to.equal('x');
    expect(
      (await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { event_patterns: ['snapshot.*'] })).status,
    ).to.equal(200);
    await hooks().ask('post', '/v1/snapshots', { oci_image: 'x' });
    const [snapshot] = await hooks().receiver.received(1);
    expect(snapshot?.payload.type).to.equal('snapshot.created');
  });

  it("errors have E2B's shape: 400, 401, 404, 409", async () => {
    const { app } = hooks();
    const { id } = await register();
    const wrong: object[] = [
      { name: '' },
      { url: 'ftp://example.com/' },
      { url: 'http://10.0.0.1/' },
      { events: [] },
      { events: ['sandbox.lifecycle.exploded'] },
      { signatureSecret: '' },
      { secret: 'x' },
      { enabled: 'no' },
    ];
    for (const body of wrong) {
      const answers = [
        await hooks().ask('post', '/events/webhooks', { ...given(), ...body }),
        await hooks().ask('patch', path(id), body),
      ];
      for (const answer of answers)
        expect([answer.status, answer.body.code], JSON.stringify(body)).to.deep.equal([400, 400]);
    }
    const bob = await app.addUser('bob');
    for (const [method, url, body] of [
      ['post', '/events/webhooks', given()],
      ['patch', path(id), {}],
      ['delete', path(id), undefined],
    ] as const) {
      const none = await app.http[method](url).send(body);
      expect([none.status, none.body.code], method).to.deep.equal([401, 401]);
      if (url !== path(id)) continue;
      const others = await hooks().ask(method, url, body, bob);
      expect([others.status, others.body.code], method).to.deep.equal([404, 404]);
    }
    for (const url of ['/events/webhooks', path(id)]) expect((await app.http.get(url)).status).to.equal(401);
    for (let n = 1; n < 50; n++) await hooks().hook({ event_patterns: ['snapshot.created'] });
    const { status, body } = await hooks().ask('post', '/events/webhooks', given());
    expect([status, body.code]).to.deep.equal([409, 409]);
  });
});

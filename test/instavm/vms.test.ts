import { expect } from 'chai';
import { sandboxOfSession } from '../../db/sessions/session-id.ts';
import { useVms } from '../helpers/clients/vms-client.ts';
import { apiKey } from '../helpers/server.ts';

describe('sandboxes under /v1/vms', () => {
  const { app, alice, create, createText, read, update, end, matching } = useVms();

  describe('POST /v1/vms', () => {
    it('201: starts a sandbox with the given settings, with its URL in Location', async () => {
      const metadata = { userId: '123', deep: { list: [1, null] } };
      const given = { vm_lifetime_seconds: 60, memory_mb: 1024, vcpu_count: 4, metadata, snapshot_id: 'snap2' };
      const response = await create({ ...given, env: { TOKEN: 'secret' } });
      expect(response.status).to.equal(201);
      const { vm_id, session_id, sandbox_id, ...rest } = response.body;
      expect(rest).to.deep.equal({
        template_id: 'snap2',
        name: 'snap2',
        metadata,
        started_at: '2025-01-18T10:30:00.000Z',
        end_at: '2025-01-18T10:31:00.000Z',
        status: 'active',
        created_at: '2025-01-18T10:30:00.000Z',
        expires_at: '2025-01-18T10:31:00.000Z',
        auto_resume: false,
        snapshot_on_terminate: false,
        auto_suspend: false,
        memory_mb: 1024,
        vcpu_count: 4,
        devbox_name: null,
        devbox_template_slug: null,
      });
      expect(vm_id)
        .to.equal(sandbox_id)
        .and.match(/^i[a-z0-9]{20}$/);
      expect(sandboxOfSession(session_id)).to.equal(vm_id);
      expect(response.headers.location).to.equal(`/v1/vms/${vm_id}`);
      expect((await app.http.get(response.headers.location as string).set(apiKey(alice))).body).to.deep.equal(
        response.body,
      );
    });

    it('201: uses defaults for no body, an empty object and nulls', async () => {
      const nulls = {
        vm_lifetime_seconds: null,
        memory_mb: null,
        vcpu_count: null,
        metadata: null,
        env: null,
        snapshot_id: null,
      };
      for (const body of [undefined, null, {}, nulls]) {
        const response = body === null ? await createText('null') : await create(body);
        expect(response.status).to.equal(201);
        expect(response.body).to.include({
          template_id: null,
          name: 'default',
          end_at: '2025-01-18T10:35:00.000Z',
          memory_mb: 512,
          vcpu_count: 2,
        });
        expect(response.body.metadata).to.deep.equal({});
      }
    });

    it('201: gives every sandbox a unique id', async () => {
      const ids = await Promise.all(Array.from({ length: 50 }, async () => (await create()).body.vm_id));
      expect(new Set(ids)).to.have.property('size', 50);
    });

    it('201: never returns or logs env', async () => {
      const { body } = await create({ env: { TOKEN: 'hush-hush' } });
      const answers = [body, (await read(body.vm_id)).body, (await end(body.vm_id)).body];
      expect(JSON.stringify(answers) + app.log()).not.to.match(/TOKEN|hush-hush/);
    });

    it('201: keeps the last value of a duplicate key, and treats __proto__ as any other key', async () => {
      const response = await createText(
        '{"metadata":{"a":1,"a":{"b":2},"__proto__":{"admin":true},"constructor":null}}',
      );
      expect(response.text).to.contain('"metadata":{"a":{"b":2},"__proto__":{"admin":true},"constructor":null}');
      expect(await matching({ a: 1 })).to.equal(0);
      expect(await matching(JSON.parse('{"__proto__":{"admin":true}}'))).to.equal(1);
      expect(await matching({ admin: true })).to.equal(0);
    });

    it('201: accepts a JSON body without a Content-Type', async () => {
      const request = app.http.post('/v1/vms').set(apiKey(alice));
      request.write('{"metadata":{"a":1}}' as never);
      expect((await request).body.metadata).to.deep.equal({ a: 1 });
    });

    it('201: reads numbers of any length in linear time', async () => {
      const number = `1${'0'.repeat(131_000)}1`;
      const metadata = Array.from({ length: 6 }, (_, n) => `"n${n}":${number}`).join(',');
      expect((await createText(`{"metadata":{${metadata}}}`)).status).to.equal(422);
      expect((await createText(`{"metadata":{"n":1${'0'.repeat(60_000)}1}}`)).status).to.equal(201);
    });

    it('201: accepts a long key above many members, and returns it', async () => {
      const members = Object.fromEntries(Array.from({ length: 4000 }, (_, n) => [n, 1]));
      const metadata = { ['k'.repeat(30_000)]: members };
      const { vm_id } = (await create({ metadata })).body;
      expect((await update(vm_id, { metadata: {} })).status).to.equal(200);
      expect((await update(vm_id, { metadata: { ['k'.repeat(500_000)]: members } })).status).to.equal(422);
    });

    it('401: without a credential', async () => {
      expect((await app.http.post('/v1/vms').send({})).status).to.equal(401);
    });

    it('413: a body above 1 MiB', async () => {
      const response = await create({ env: { A: 'x'.repeat(2 ** 20) } });
      expect(response.status).to.equal(413);
      expect(response.body).to.deep.equal({ detail: 'The request body is larger than 1048576 bytes' });
    });

    it('415: a body whose Content-Type is not JSON or not UTF-8', async () => {
      const typed = app.http.post('/v1/vms').set(apiKey(alice)).type('application/json; charset=utf-16');
      expect((await typed.send('{}')).status).to.equal(415);
      expect((await app.http.post('/v1/vms').set(apiKey(alice)).type('form').send('a=b')).status).to.equal(415);
    });

    it('422: reports all values out of bounds', async () => {
      const response = await create({
        vm_lifetime_seconds: 19,
        memory_mb: 8193,
        vcpu_count: 3,
        snapshot_id: '',
      });
      expect(response.status).to.equal(422);
      expect(response.body.detail).to.deep.equal([
        problem('greater_than_equal', 'vm_lifetime_seconds', 'Input should be greater than or equal to 20', 19, {
          ge: 20,
        }),
        problem('less_than_equal', 'memory_mb', 'Input should be less than or equal to 8192', 8193, { le: 8192 }),
        problem('literal_error', 'vcpu_count', 'Input should be 1, 2, 4, 6 or 8', 3, { expected: '1, 2, 4, 6 or 8' }),
        problem('string_too_short', 'snapshot_id', 'String should have at least 1 character', '', { min_length: 1 }),
      ]);
    });

    it('422: wrong types, with their positions', async () => {
      const response = await create({
        vm_lifetime_seconds: '60',
        memory_mb: 128.5,
        vcpu_count: '2',
        metadata: [],
        env: { A: 1, 'b/c~d': null },
        snapshot_id: 5,
      });
      const seen = response.body.detail.map(({ type, loc }: { type: string; loc: string[] }) => [type, ...loc]);
      expect(seen).to.deep.equal([
        ['int_type', 'body', 'vm_lifetime_seconds'],
        ['int_from_float', 'body', 'memory_mb'],
        ['literal_error', 'body', 'vcpu_count'],
        ['dict_type', 'body', 'metadata'],
        ['string_type', 'body', 'env', 'A'],
        ['string_type', 'body', 'env', 'b/c~d'],
        ['string_type', 'body', 'snapshot_id'],
      ]);
    });

    it('422: a body that is not an object', async () => {
      for (const text of ['[]', '"a"', '5', '12345678901234567890']) {
        const response = await createText(text);
        expect(response.status, text).to.equal(422);
        expect(response.body.detail[0]).to.deep.include({ type: 'model_attributes_type', loc: ['body'] });
      }
    });

    it('422: malformed JSON, with its position', async () => {
      const response = await createText('{"metadata":}');
      expect(response.body.detail[0]).to.include({ type: 'json_invalid', msg: 'JSON decode error' });
      expect((await createText('{"metadata":{}')).body.detail[0].loc).to.deep.equal(['body', 14]);
    });

    it('422: metadata that jsonb refuses, that is too large or that nests too deep', async () => {
      for (const metadata of ['{"a":"\\u0000"}', '{"\\udc00":1}', '{"a":1e131073}', `{"a":"${'x'.repeat(65_536)}"}`]) {
        const response = await createText(`{"metadata":${metadata}}`);
        expect(response.status).to.equal(422);
        expect(response.body.detail[0]).to.include({ type: 'value_error' });
      }
      const nested = (levels: number) => `{"metadata":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`;
      expect((await createText(nested(64))).status).to.equal(201);
      for (const levels of [65, 100_000]) {
        expect((await createText(nested(levels))).body.detail[0]).to.include({ type: 'json_invalid' });
      }
    });
  });

  describe('GET /v1/vms/{vm_id}', () => {
    it('200: returns a sandbox, as killed once it has expired', async () => {
      const { body } = await create({ vm_lifetime_seconds: 20 });
      expect((await read(body.vm_id)).body).to.deep.equal(body);
      app.clock.now += 20_000;
      expect((await read(body.vm_id)).body).to.deep.equal({
        ...body,
        status: 'killed',
        end_at: null,
        expires_at: null,
      });
    });

    it('401: without a credential; 404: an unknown id of any form', async () => {
      expect((await app.http.get('/v1/vms/i123')).status).to.equal(401);
      for (const id of ['i123', '%', '%25', '_', "'%20or%201=1--", '%00', 'a'.repeat(5000), 'é', '..%2f..']) {
        const response = await read(id);
        expect(response.status, id).to.equal(404);
      }
    });
  });
});

function problem(type: string, field: string, msg: string, input: unknown, ctx: object) {
  return { type, loc: ['body', field], msg, input, ctx };
}

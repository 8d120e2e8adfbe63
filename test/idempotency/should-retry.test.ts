import { expect } from 'chai';
import { createTestMode } from '../../app/api/test-mode/mode.ts';
import { StoreError } from '../../db/errors.ts';
import { useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey, itHere, startApp } from '../helpers/server.ts';

describe('Should-Retry', () => {
  const { app, alice, e2b } = useE2b();

  it('is false on what is not offered, in either dialect, and on what a sandbox does not answer', async () => {
    const { http } = app;
    const id = await e2b.create();
    const answers = [
      await e2b.post('/v2/sandboxes', { templateID: 'base', mcp: { a: 1 } }),
      await http
        .post('/v1/vms')
        .set(apiKey(alice))
        .send({ volumes: [{ a: 1 }] }),
      await http.post('/code-interpreter/execute').set('E2b-Sandbox-Id', id).send({ code: '' }),
      await http.post('/process.Process/List').set('E2b-Sandbox-Id', id).send({}),
      await http.get('/health').set('E2b-Sandbox-Id', 'gone'),
    ];
    expect(answers.map(({ status }) => status)).to.deep.equal([501, 501, 501, 501, 502]);
    for (const { headers } of answers) expect(headers['should-retry']).to.equal('false');
  });

  it('is absent where a request fails for its own reasons, or works', async () => {
    const answers = [await e2b.get('/sandboxes'), await e2b.get('/sandboxes/unknown'), await app.http.get('/nowhere')];
    for (const { headers } of answers) expect(headers).not.to.have.property('should-retry');
  });

  itHere('is true past the rate limit', async () => {
    const limited = await startApp({ rateLimit: { count: 1, milliseconds: 1000 } });
    const answers = [await limited.http.get('/sandboxes'), await limited.http.get('/sandboxes')];
    expect(answers.map(({ status, headers }) => [status, headers['should-retry']])).to.deep.equal([
      [401, undefined],
      [429, 'true'],
    ]);
  });

  itHere('is true on 429 and 503 that a test injects, and false on 500', async () => {
    const test = createTestMode(Date.now, null);
    const faulty = await startApp({}, { test });
    for (const [status, expected] of [
      [429, 'true'],
      [503, 'true'],
      [500, 'false'],
    ] as const) {
      await faulty.http.post('/_test/faults').send({ status });
      expect((await faulty.http.get('/sandboxes')).headers['should-retry'], `${status}`).to.equal(expected);
    }
    await faulty.http.post('/_test/faults').send({ status: 503, headers: { 'Should-Retry': 'false' } });
    expect((await faulty.http.get('/sandboxes')).headers['should-retry']).to.equal('false');
  });

  itHere('is false once a part was written', async () => {
    const env = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [n, 'x'.repeat(100_000)]));
    const id = await e2b.create({ envVars: env });
    const { db } = app.server.context.store;
    const fork = () => e2b.post(`/sandboxes/${id}/fork`, { count: 3 });
    const copies = () => app.server.context.store.sqlite.prepare('select count(*) from sandboxes').pluck().get();
    const busyOnce = (isDue: () => boolean) => {
      const { transaction } = db;
      db.transaction = () => {
        if (!isDue()) return transaction.call(db);
        throw new StoreError('busy', 'The database is busy');
      };
      return () => {
        db.transaction = transaction;
      };
    };
    for (const [parts, expected] of [
      [0, 'true'],
      [1, 'false'],
    ] as const) {
      const before = Number(copies());
      const restore = busyOnce(() => Number(copies()) >= before + parts);
      const { status, headers } = await fork();
      restore();
      expect([status, headers['should-retry']], `${parts}`).to.deep.equal([503, expected]);
    }
  });
});

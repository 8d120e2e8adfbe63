import { expect } from 'chai';
import { anyId, e2bOf, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { controlOperations, e2bOperations, table } from '../helpers/clients/e2b-operations.ts';
import { withWriteLock } from '../helpers/processes/busy.ts';
import { apiKey, startApp } from '../helpers/server.ts';

describe("errors of E2B's operations", () => {
  const { app, alice, bob } = useE2b();

  const call = (row: (typeof controlOperations)[number], sandboxId: string, caller = alice, query = '') => {
    const path = row.path.replace(/\{\w+\}/, sandboxId);
    return app.http[row.method](`${path}?${query}`).set(apiKey(caller));
  };
  const hold = (answer: { status: number; body: unknown }, where: string, status: number, message: string | RegExp) => {
    expect(answer.status, where).to.equal(status);
    const { code, message: told, ...rest } = answer.body as Record<string, unknown>;
    expect([code, rest], where).to.deep.equal([status, {}]);
    if (typeof message === 'string') expect(told, where).to.equal(message);
    else expect(told, where).to.match(message);
  };

  it('covers every operation of the contract', () => {
    expect(controlOperations.map(({ id }) => id)).to.have.members(Object.keys(table));
  });

  it('400: every invalid member of a query or body, and a bad id', async () => {
    const sandbox = await e2bOf(app, alice).create();
    for (const row of controlOperations) {
      for (const query of row.wrong?.query ?? []) {
        hold(
          await call(row, sandbox, alice, query),
          `${row.id} ${query}`,
          400,
          /^(validation error: query\.|Error|Invalid)/,
        );
      }
      for (const body of row.wrong?.body ?? []) {
        const where = `${row.id} ${JSON.stringify(body).slice(0, 100)}`;
        hold(await call(row, sandbox).send(body), where, 400, /^[\w ]+/);
      }
      if (!row.isOfSandbox) continue;
      for (const id of ['A', `${sandbox}_`, '%20', 'é', '%00', "'--"]) {
        hold(
          await call(row, id).send(row.body),
          `${row.id} ${id}`,
          400,
          /^validation error: path.sandboxID: String should match/,
        );
      }
    }
    expect((await app.http.get('/v2/sandboxes').set(apiKey(alice))).body).to.have.length(1);
  });

  it('400: a body that is not JSON, not an object, missing or wrongly encoded', async () => {
    const sandbox = await e2bOf(app, alice).create();
    for (const row of controlOperations.filter(({ takesBody }) => takesBody)) {
      const send = (text: string) => call(row, sandbox).type('json').send(text);
      hold(await send('{"a":'), row.id, 400, /^validation error: body\.5: JSON decode error \(.+\)$/);
      hold(await send('{"a":"\\u0000"}'), row.id, 400, /NUL character/);
      hold(await send(`{"a":${'['.repeat(65)}${']'.repeat(65)}}`), row.id, 400, /nested more than 65 levels deep/);
      for (const text of ['[]', '"a"', '5', 'true']) {
        hold(await send(text), row.id, 400, /^validation error: body: Input should be a valid dictionary or object/);
      }
      if (row.needsBody) {
        for (const text of ['', 'null']) hold(await send(text), row.id, 400, 'validation error: body: Field required');
      }
      hold(
        await call(row, sandbox).set('Content-Encoding', 'gzip').type('json').send('a'),
        row.id,
        400,
        /is not gzip, as its Content-Encoding says$/,
      );
    }
  });

  it('401: a request without a credential, with WWW-Authenticate', async () => {
    for (const row of controlOperations) {
      for (const [key, message] of [
        ['', 'Not authenticated'],
        [`e2b_${'0'.repeat(40)}`, 'Could not validate credentials'],
      ] as const) {
        const answer = await call(row, anyId).set('X-API-Key', key).send(row.body);
        hold(answer, row.id, 401, message);
        expect(answer.headers['www-authenticate']).to.equal('Bearer');
      }
    }
  });

  it('404: the same for an unknown sandbox, another owner’s, a killed and an expired one', async () => {
    const [hers, his] = [e2bOf(app, alice), e2bOf(app, bob)];
    const [killed, expired] = [await hers.create(), await hers.create({ timeout: 1 })];
    await hers.remove(`/sandboxes/${killed}`);
    const [running, paused] = [await his.create(), await his.create()];
    await his.does(paused, 'pause');
    app.clock.now += 1000;
    const before = [await his.read(running), await his.read(paused)];
    for (const row of controlOperations.filter(({ isOfSandbox }) => isOfSandbox)) {
      for (const id of [anyId, running, paused, killed, expired, `${running}-6532622b`, 'x'.repeat(300)]) {
        hold(await call(row, id).send(row.body), `${row.id} ${id}`, 404, unknown(id).message);
      }
    }
    expect([await his.read(running), await his.read(paused)]).to.deep.equal(before);
    expect(await hers.listed()).to.deep.equal([]);
  });

  it('413, 415: a body that is too large or of another media type', async () => {
    const sandbox = await e2bOf(app, alice).create();
    for (const row of controlOperations.filter(({ takesBody }) => takesBody)) {
      const large = await call(row, sandbox).send({ ...row.body, more: 'x'.repeat(2 ** 20) });
      hold(large, row.id, 413, 'The request body is larger than 1048576 bytes');
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/connect+json']) {
        hold(await call(row, sandbox).type(type).send('{}'), `${row.id} ${type}`, 415, /.+/);
      }
      hold(await call(row, sandbox).type('application/json; charset=latin1').send('{}'), row.id, 415, /UTF-8/);
      hold(await call(row, sandbox).set('Content-Encoding', 'x').type('json').send('{}'), row.id, 415, /.+/);
    }
  });

  it('405: a known path with another method; Allow lists the allowed ones', async () => {
    for (const path of new Set(e2bOperations.map((row) => row.path))) {
      const methods = e2bOperations.filter((row) => row.path === path).map(({ method }) => method.toUpperCase());
      const other = methods.includes('PATCH') ? 'put' : 'patch';
      const answer = await app.http[other](path.replace(/\{\w+\}/g, anyId)).set(apiKey(alice));
      hold(answer, path, 405, 'Method Not Allowed');
      expect(answer.headers.allow?.split(', ')).to.have.members(methods);
    }
  });

  it('404: an unknown path, with or without a key', async () => {
    const known = ['/v2', '/v2/', '/v2/nope', `/v2/sandboxes/${anyId}`, `/v2/sandboxes/${anyId}/pause`, '/v3/nope'];
    const rest = [`/sandboxes/${anyId}/nope`, '/sandboxes/a/b/c', '/snapshots/a', '/templates/a/b'];
    const others = ['/teams/a', '/volumes/a/b', '/secrets/a/b', '/code-interpreter/a', '/files/a', '/process.Process'];
    for (const path of [...known, ...rest, ...others]) {
      for (const key of [alice.key, '']) hold(await app.http.get(path).set('X-API-Key', key), path, 404, 'Not Found');
    }
    for (const path of ['/sandboxesx', '/V2/sandboxes', '/v1/sandboxes']) {
      expect((await app.http.get(path).set(apiKey(alice))).body).to.deep.equal({ detail: 'Not Found' });
    }
  });

  it('500: an unexpected failure is logged in full and reveals nothing', async () => {
    const own = await startApp();
    const user = await own.addUser('alice');
    const { sqlite } = own.server.context.store;
    sqlite.exec('alter table sandboxes rename to elsewhere; alter table snapshots rename to nowhere');
    sqlite.exec('alter table events rename to past; alter table webhook_endpoints rename to abroad');
    // The first two require query parameters; the last reads nothing but the credential.
    const left = ['e2b_list_metrics', 'e2b_tag_exists', 'e2b_list_default_templates'];
    for (const row of controlOperations.filter(({ id }) => !left.includes(id))) {
      const path = row.path.replace(/\{\w+\}/, anyId);
      const answer = await own.http[row.method](path).set(apiKey(user)).send(row.body);
      hold(answer, row.id, 500, 'Internal Server Error');
    }
    await own.logged(/no such table: (main\.)?sandboxes/);
    await own.logged(/no such table: (main\.)?snapshots/);
  });

  it('503: every write while another process holds the write lock; reads continue', async () => {
    const hers = e2bOf(app, alice);
    const sandbox = await hers.create();
    const { id: webhook } = (await hers.post('/events/webhooks', table.e2b_create_webhook?.body)).body;
    const writes = controlOperations.filter(({ declares }) => declares(503));
    expect(writes.map(({ method }) => method)).not.to.include('get');
    expect(writes).to.have.length(18);
    await withWriteLock(app, async () => {
      const answers = writes.map((row) =>
        call(row, row.path.includes('{webhookID}') ? webhook : sandbox)
          .send(row.body)
          .then((answer) => answer),
      );
      expect(await hers.listed()).to.deep.equal([sandbox]);
      for (const [n, answer] of (await Promise.all(answers)).entries()) {
        hold(answer, writes[n]?.id ?? '', 503, 'the database is busy with another process');
        expect(answer.headers['retry-after']).to.equal('1');
      }
    });
    expect(await hers.does(sandbox, 'pause')).to.equal(204);
  });
});

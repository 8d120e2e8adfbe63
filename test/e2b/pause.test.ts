import Database from 'better-sqlite3';
import { expect } from 'chai';
import { sweep } from '../../app/jobs/tasks.ts';
import { timeAt, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { clientOf, itHere } from '../helpers/server.ts';

describe("pausing, resuming and ending E2B's sandboxes", () => {
  const { app, alice, e2b } = useE2b();

  const pass = (seconds: number) => {
    app.clock.now += seconds * 1000;
  };
  const paused = async (body: object = {}) => {
    const id = await e2b.create(body);
    await e2b.does(id, 'pause');
    return id;
  };

  describe('connecting', () => {
    for (const path of ['/sandboxes', '/v2/sandboxes']) {
      it(`200: POST ${path}/{id}/connect extends a running sandbox and never shortens it`, async () => {
        const id = await e2b.create({ timeout: 100 });
        pass(10);
        for (const [timeout, end] of [
          [0, 100],
          [89, 100],
          [91, 101],
          [86_400, 86_410],
          [60, 86_410],
        ] as const) {
          const { status, body } = await e2b.post(`${path}/${id}/connect`, { timeout });
          expect([status, body.sandboxID, body.templateID]).to.deep.equal([200, id, 'base']);
          expect(await e2b.read(id)).to.include({ startedAt: timeAt(0), endAt: timeAt(end), state: 'running' });
        }
      });

      it(`201: POST ${path}/{id}/connect resumes a paused sandbox with a new start time`, async () => {
        const id = await paused({ timeout: 1000 });
        pass(2000);
        const { status, body } = await e2b.post(`${path}/${id}/connect`, { timeout: 20, memory: false });
        expect(status).to.equal(201);
        expect(body).to.deep.equal((await e2b.post(`${path}/${id}/connect`, { timeout: 0 })).body);
        expect(await e2b.read(id)).to.include({ startedAt: timeAt(2000), endAt: timeAt(2020), state: 'running' });
      });

      it(`400: POST ${path}/{id}/connect refuses a timeout of 0 for a paused sandbox`, async () => {
        const id = await paused();
        expect((await e2b.post(`${path}/${id}/connect`, { timeout: 0 })).status).to.equal(400);
        expect((await e2b.read(id)).state).to.equal('paused');
      });
    }

    it('200: 300 seconds by default on the newer path; 400: no default on the older', async () => {
      const id = await e2b.create({ timeout: 1 });
      for (const body of [undefined, {}]) {
        expect((await e2b.post(`/v2/sandboxes/${id}/connect`, body)).status).to.equal(200);
        expect((await e2b.read(id)).endAt).to.equal(timeAt(300));
        expect((await e2b.post(`/sandboxes/${id}/connect`, body)).status).to.equal(400);
      }
    });

    itHere('404: a sandbox that ends while the call waits for another process', async () => {
      const id = await e2b.create({ timeout: 20 });
      const other = new Database(app.server.context.config.db);
      other.exec('begin immediate');
      const answers = [e2b.does(id, 'connect', { timeout: 60 }), e2b.does(id, 'refreshes'), e2b.does(id, 'pause')];
      expect((await e2b.get('/sandboxes')).body).to.have.length(1);
      pass(20);
      other.close();
      expect(await Promise.all(answers)).to.deep.equal([404, 404, 404]);
    });
  });

  describe('pausing and resuming', () => {
    it('204: the end of a paused sandbox is when it was paused, and it does not expire', async () => {
      const id = await e2b.create({ timeout: 100 });
      pass(50);
      const { status, text } = await e2b.post(`/sandboxes/${id}/pause`, { memory: false });
      expect([status, text]).to.deep.equal([204, '']);
      pass(1_000_000);
      await sweep(app.server.context);
      expect(await e2b.read(id)).to.include({ state: 'paused', startedAt: timeAt(0), endAt: timeAt(50) });
      expect([await e2b.listed('state=paused'), await e2b.listed('state=running')]).to.deep.equal([[id], []]);
      expect((await e2b.get('/sandboxes')).body).to.deep.equal([]);
      const native = (await clientOf(app, alice).read(id)).body;
      expect(native).to.include({ status: 'suspended', end_at: null });
    });

    it('shows of a paused sandbox what its pause was asked to keep', async () => {
      const modeOf = async (id: string) => (await e2b.read(id)).pauseMode;
      const id = await e2b.create({ timeout: 60, autoPause: true, autoPauseMemory: false });
      expect(await modeOf(id)).to.equal(undefined);
      for (const [memory, mode] of [
        [false, 'filesystem'],
        [true, 'full'],
        [undefined, 'full'],
      ] as const) {
        await e2b.does(id, 'pause', { memory });
        expect(await modeOf(id)).to.equal(mode);
        await e2b.does(id, 'connect', { timeout: 60 });
        expect(await modeOf(id)).to.equal(undefined);
      }
      pass(60);
      expect(await modeOf(id)).to.equal('filesystem');
      await sweep(app.server.context);
      expect(await modeOf(id)).to.equal('filesystem');
      const plain = await e2b.create({ timeout: 60, autoPause: true });
      await e2b.does(plain, 'pause', { memory: false });
      await e2b.does(plain, 'resume');
      pass(60);
      expect(await modeOf(plain)).to.equal('full');
    });

    it('501: a guest to check; 400: members of the wrong type', async () => {
      const id = await e2b.create();
      for (const requireHealthyGuest of [true, 'yes']) {
        expect(await e2b.does(id, 'pause', { requireHealthyGuest })).to.equal(501);
      }
      for (const body of [{ memory: 'no' }, { memory: null }]) {
        expect(await e2b.does(id, 'pause', body)).to.equal(400);
      }
      expect(await e2b.does(id, 'pause', { requireHealthyGuest: false })).to.equal(204);
    });

    it('201: resumes for 15 seconds by default, any number of times, with a new start time', async () => {
      const id = await e2b.create();
      for (const [body, seconds] of [
        [undefined, 15],
        [{}, 15],
        [{ timeout: 1, autoPause: true, memory: true }, 1],
        [{ timeout: 86_400 }, 86_400],
      ] as const) {
        await e2b.does(id, 'pause');
        app.clock.now += 1000;
        const answer = await e2b.post(`/sandboxes/${id}/resume`, body);
        expect(answer.status).to.equal(201);
        const started = { templateID: 'base', alias: 'base', sandboxID: id, clientID: '6532622b' };
        expect(answer.body).to.deep.equal({ ...started, envdVersion: '0.6.4', domain: 'sandpit.invalid' });
        const { startedAt, endAt, state } = await e2b.read(id);
        expect([Date.parse(startedAt), Date.parse(endAt), state]).to.deep.equal([
          ...[app.clock.now, app.clock.now + seconds * 1000, 'running'],
        ]);
      }
    });

    it('409: pausing a paused sandbox, resuming a running one', async () => {
      const id = await e2b.create();
      const resumed = await e2b.post(`/sandboxes/${id}/resume`);
      expect(resumed.body).to.deep.equal({ code: 409, message: `Sandbox '${id}' is already running` });
      await e2b.does(id, 'pause');
      const { status, body } = await e2b.post(`/sandboxes/${id}/pause`);
      const message = `Error pausing sandbox - sandbox '${id}' is already paused`;
      expect([resumed.status, status, body]).to.deep.equal([409, 409, { code: 409, message }]);
    });

    it('400: resuming for 0 seconds or more than a day', async () => {
      const id = await paused();
      const { body } = await e2b.post(`/sandboxes/${id}/resume`, { timeout: 0 });
      expect(body).to.deep.equal({
        code: 400,
        message: 'validation error: body.timeout: Input should be greater than or equal to 1',
      });
      expect(await e2b.does(id, 'resume', { timeout: 86_401 })).to.equal(400);
      expect(await e2b.read(id)).to.include({ state: 'paused', endAt: timeAt(0) });
    });

    it('404: operations that need a running sandbox, on a paused one', async () => {
      const id = await paused();
      const answers = [
        await e2b.post(`/sandboxes/${id}/timeout`, { timeout: 60 }),
        await e2b.post(`/sandboxes/${id}/refreshes`),
        await e2b.post(`/sandboxes/${id}/snapshots`),
      ];
      const expected = { code: 404, message: `Sandbox "${id}" is paused: resume it first` };
      for (const { status, body } of answers) expect([status, body]).to.deep.equal([404, expected]);
    });

    it('autoPause pauses it at its end, before and after a sweep, and it can be resumed', async () => {
      const ids = [
        await e2b.create({ autoPause: true, timeout: 60 }),
        await e2b.create({ autoPause: true, timeout: 60 }),
      ];
      pass(100);
      for (const id of ids) {
        for (const _ of ['before', 'after']) {
          expect(await e2b.read(id)).to.include({ state: 'paused', startedAt: timeAt(0), endAt: timeAt(60) });
          expect(await e2b.does(id, 'pause')).to.equal(409);
          expect(await e2b.does(id, 'timeout', { timeout: 60 })).to.equal(404);
          expect((await clientOf(app, alice).read(id)).body.status).to.equal('suspended');
          if (id === ids[1]) await sweep(app.server.context);
        }
        expect(await e2b.does(id, 'resume', { timeout: 60 })).to.equal(201);
        expect(await e2b.read(id)).to.include({ state: 'running', startedAt: timeAt(100), endAt: timeAt(160) });
      }
      pass(60);
      expect(await e2b.listed('state=paused')).to.have.members(ids);
    });

    it('resuming with autoPause sets what happens at its next end', async () => {
      const [kept, killed] = [await e2b.create(), await e2b.create({ autoPause: true })] as [string, string];
      for (const id of [kept, killed]) await e2b.does(id, 'pause');
      await e2b.does(kept, 'resume', { timeout: 60, autoPause: true });
      await e2b.does(killed, 'resume', { timeout: 60, autoPause: false });
      pass(60);
      expect(await e2b.listed('state=paused,running')).to.deep.equal([kept]);
    });
  });

  describe('killing', () => {
    it("204: kills a running and a paused sandbox once; InstaVM's dialect still lists both", async () => {
      for (const id of [await e2b.create(), await paused(), await e2b.create({ autoPause: true, timeout: 1 })]) {
        pass(1);
        const { status, text } = await e2b.remove(`/sandboxes/${id}`);
        expect([status, text]).to.deep.equal([204, '']);
        const again = await e2b.remove(`/sandboxes/${id}`);
        expect([again.status, again.body]).to.deep.equal([404, unknown(id)]);
        expect(await e2b.does(id, 'resume')).to.equal(404);
        expect((await clientOf(app, alice).read(id)).body).to.include({ status: 'killed', end_at: null });
      }
      expect(await e2b.listed()).to.deep.equal([]);
    });

    it('404: an expired sandbox', async () => {
      const id = await e2b.create({ timeout: 1 });
      pass(1);
      expect((await e2b.remove(`/sandboxes/${id}`)).body).to.deep.equal(unknown(id));
    });
  });
});

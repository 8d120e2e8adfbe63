import { expect } from 'chai';
import type { Machines } from '../../../app/context.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import { MachineError, type MachineErrorCode } from '../../../app/machines/error.ts';
import { e2bOf, unknown } from '../../helpers/clients/e2b-client.ts';
import { shareApp, type TestApp } from '../../helpers/server.ts';
import { until } from '../images/registry.ts';

describe('what machines use and print', () => {
  const shared = shareApp({ machines: 'process' });
  let app: TestApp;
  let e2b: ReturnType<typeof e2bOf>;
  let bobs: ReturnType<typeof e2bOf>;
  let id: string;
  before(async () => {
    app = shared();
    e2b = e2bOf(app, await app.addUser('alice'));
    bobs = e2bOf(app, await app.addUser('bob'));
    id = await e2b.create();
    for (const script of ['echo one; echo two', 'echo three >&2']) await run(script);
  });

  /** Runs a script to its end. */
  const run = async (script: string) => {
    const { agentOf } = app.server.context.machines as Machines;
    const spec = { user: '', cwd: '', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0, tag: '' };
    for await (const _ of startProcess(await agentOf(id), { ...spec, args: ['/bin/sh', '-c', script] }));
  };
  const logs = async (query = '') => (await e2b.get(`/v2/sandboxes/${id}/logs${query}`)).body.logs;
  const messages = async (query = '') => (await logs(query)).map(({ message }: { message: string }) => message);

  it('200: a first reading soon, then a range of them', async () => {
    await until(async () => (await e2b.get(`/sandboxes/${id}/metrics`)).body.length > 0);
    const [reading] = (await e2b.get(`/sandboxes/${id}/metrics`)).body;
    expect(reading).to.include({
      timestamp: new Date(app.clock.now).toISOString(),
      timestampUnix: app.clock.now / 1000,
      cpuCount: 2,
      memTotal: 512 * 2 ** 20,
    });
    expect(reading.memUsed).to.be.above(0);
    const at = app.clock.now / 1000;
    const inRange = async (from: number, to: number) =>
      (await e2b.get(`/sandboxes/${id}/metrics?start=${from}&end=${to}`)).body.length;
    expect(await inRange(at, at)).to.be.above(0);
    expect(await inRange(at - 100, at - 1)).to.equal(0);
    expect(await inRange(at + 1, at + 100)).to.equal(0);
  });

  it("200: the newest readings of the caller's sandboxes, and of nobody else's", async () => {
    await until(async () => (await e2b.get(`/sandboxes/${id}/metrics`)).body.length > 0);
    const latest = async (caller: typeof e2b) =>
      Object.keys((await caller.get(`/sandboxes/metrics?sandbox_ids=${id},i${'0'.repeat(20)}`)).body.sandboxes);
    expect(await latest(e2b)).to.deep.equal([id]);
    expect(await latest(bobs)).to.deep.equal([]);
  });

  it('200: what commands printed, oldest first, as lines and as entries', async () => {
    const { status, body } = await e2b.get(`/sandboxes/${id}/logs`);
    expect(status).to.equal(200);
    const shown = body.logEntries.map(({ message, level, fields }: Record<string, Record<string, string>>) => [
      message,
      level,
      fields?.event_type,
    ]);
    expect(shown).to.deep.equal([
      ['one', 'info', 'stdout'],
      ['two', 'info', 'stdout'],
      ['three', 'error', 'stderr'],
    ]);
    const [first] = body.logs;
    expect(first.timestamp).to.equal(body.logEntries[0].timestamp);
    const { pid } = body.logEntries[0].fields;
    const line = { level: 'info', logger: 'process', message: 'one', pid, event_type: 'stdout' };
    expect(JSON.parse(first.line)).to.deep.equal(line);
  });

  it('200: from a time on, and at most so many', async () => {
    const of = async (query: string) =>
      (await e2b.get(`/sandboxes/${id}/logs?${query}`)).body.logEntries.map(
        (entry: { message: string }) => entry.message,
      );
    const [, , { timestamp }] = await logs();
    expect(await of('limit=1'), 'the last').to.deep.equal(['three']);
    expect(await of('start=0&limit=1'), 'the first').to.deep.equal(['one']);
    expect(await of('limit=0')).to.deep.equal([]);
    expect(await of(`start=${Date.parse(timestamp)}`)).to.include('three');
    expect(await of(`start=${Date.parse(timestamp) + 1}`)).to.deep.equal([]);
  });

  it('200: /v2 searches in either direction, by level, text and time', async () => {
    expect(await messages()).to.deep.equal(['one', 'two', 'three']);
    expect(await messages('?direction=backward&limit=2')).to.deep.equal(['three', 'two']);
    expect(await messages('?level=warn')).to.deep.equal(['three']);
    expect(await messages('?search=o')).to.deep.equal(['one', 'two']);
    const [{ timestamp }, , last] = await logs();
    expect(await messages(`?cursor=${Date.parse(last.timestamp) + 1}`)).to.deep.equal([]);
    expect(await messages(`?direction=backward&cursor=${Date.parse(timestamp) - 1}`)).to.deep.equal([]);
    expect(await messages(`?direction=backward&cursor=${Date.parse(last.timestamp)}`)).to.have.length(3);
  });

  it('504: an engine that is away; nothing, if the machine is just gone', async () => {
    const machines = app.server.context.machines as Machines;
    const { agentOf } = machines;
    const answers = async (code: MachineErrorCode) => {
      machines.agentOf = () => Promise.reject(new MachineError(code, 'The engine does not answer'));
      const [old, searched] = [`/sandboxes/${id}/logs`, `/v2/sandboxes/${id}/logs`].map((path) => e2b.get(path));
      return [(await old)?.body, (await searched)?.body];
    };
    const away = { code: 504, message: 'The engine does not answer' };
    expect(await answers('unavailable')).to.deep.equal([away, away]);
    expect(await answers('gone')).to.deep.equal([{ logs: [], logEntries: [] }, { logs: [] }]);
    machines.agentOf = agentOf;
  });

  it("404: another user's sandbox, and one that has ended", async () => {
    const paths = (sandbox: string) =>
      ['/sandboxes/ID/metrics', '/sandboxes/ID/logs', '/v2/sandboxes/ID/logs'].map((path) =>
        path.replace('ID', sandbox),
      );
    for (const path of paths(id)) expect((await bobs.get(path)).body).to.deep.equal(unknown(id));
    const ended = await e2b.create();
    await e2b.remove(`/sandboxes/${ended}`);
    for (const path of paths(ended)) expect((await e2b.get(path)).body).to.deep.equal(unknown(ended));
  });
});

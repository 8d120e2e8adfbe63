import { expect } from 'chai';
import { eachSdk, type Session } from '../sdk.ts';

type Paginator = ReturnType<Session['Sandbox']['list']>;

/** Returns the pages of ids. */
async function pagesOf(paginator: Paginator): Promise<string[][]> {
  const pages: string[][] = [];
  while (paginator.hasNext) pages.push((await paginator.nextItems()).map(({ sandboxId }) => sandboxId));
  return pages;
}

/** Creates sandboxes a second apart, and returns their ids in that order. */
async function createSome({ Sandbox, app }: Session, options: object[]): Promise<string[]> {
  const ids: string[] = [];
  for (const each of options) {
    ids.push((await Sandbox.create(each)).sandboxId);
    app.clock.now += 1000;
  }
  return ids;
}

describe("compatibility with E2B's SDK: listing", () => {
  const { works } = eachSdk();

  works('list', async (session) => {
    const { Sandbox, Other, start } = session;
    const [id, killed] = await createSome(session, [{ metadata: { user: 'x' }, timeoutMs: 60_000 }, {}]);
    await Sandbox.kill(killed as string);
    await Other.create();
    const [found, ...others] = await Sandbox.list().nextItems();
    expect(others).to.deep.equal([]);
    expect(found).to.deep.include({ sandboxId: id, templateId: 'base', state: 'running', metadata: { user: 'x' } });
    expect(found).to.deep.include({ cpuCount: 2, memoryMB: 512, volumeMounts: [] });
    expect(found?.startedAt).to.deep.equal(new Date(start));
    expect(found?.endAt).to.deep.equal(new Date(start + 60_000));
    expect(found?.envdVersion).to.match(/^\d+\.\d+\.\d+$/);
  });

  works('list: metadata', async (session) => {
    const odd = { 'a b': 'c&d=é' };
    const [oddOne, both] = await createSome(session, [
      { metadata: odd },
      { metadata: { ...odd, '%2B+': '100%' } },
      { metadata: { 'a b': 'c' } },
      {},
    ]);
    const matching = (metadata: Record<string, string>) => pagesOf(session.Sandbox.list({ query: { metadata } }));
    expect(await matching(odd)).to.deep.equal([[both, oddOne]]);
    expect(await matching({ ...odd, '%2B+': '100%' })).to.deep.equal([[both]]);
    expect(await matching({ 'a b': 'C' })).to.deep.equal([[]]);
  });

  works('list: state', async (session) => {
    const [running, paused] = await createSome(session, [{}, {}]);
    await session.Sandbox.pause(paused as string);
    const inStates = (...state: ('running' | 'paused')[]) => pagesOf(session.Sandbox.list({ query: { state } }));
    expect(await inStates('running')).to.deep.equal([[running]]);
    expect(await inStates('paused')).to.deep.equal([[paused]]);
    expect(await inStates('running', 'paused')).to.deep.equal([[paused, running]]);
    expect(await pagesOf(session.Sandbox.list())).to.deep.equal([[paused, running]]);
  });

  works('list: startedAfter', async (session) => {
    const [, second, third] = await createSome(session, [{}, {}, {}]);
    const since = (time: number) => pagesOf(session.Sandbox.list({ query: { startedAfter: new Date(time) } }));
    expect(await since(session.start + 1000)).to.deep.equal([[third, second]]);
    expect(await since(session.start + 1001)).to.deep.equal([[third]]);
    expect(await since(session.start + 2001)).to.deep.equal([[]]);
  });

  works('list: template', async (session) => {
    const [, other] = await createSome(session, [{}, { template: 'python-3' }]);
    const { Sandbox } = session;
    expect(await pagesOf(Sandbox.list({ query: { template: 'python-3' } }))).to.deep.equal([[other]]);
    expect(await pagesOf(Sandbox.list({ query: { template: 'unknown' } }))).to.deep.equal([[]]);
  });

  works('list: order', async (session) => {
    const ids = await createSome(session, [{}, {}, {}]);
    const { Sandbox } = session;
    expect(await pagesOf(Sandbox.list({ order: 'asc' }))).to.deep.equal([ids]);
    expect(await pagesOf(Sandbox.list({ order: 'desc' }))).to.deep.equal([ids.toReversed()]);
  });

  works('list: limit, nextToken', async (session) => {
    const { Sandbox, app } = session;
    const ids = await createSome(session, [{}, {}, {}, {}, {}]);
    const [first, second, third, fourth, fifth] = ids;
    await Sandbox.pause(third as string);
    expect(await pagesOf(Sandbox.list({ limit: 2 }))).to.deep.equal([[fifth, fourth], [third, second], [first]]);
    const oldestFirst = Sandbox.list({ limit: 2, order: 'asc' });
    expect((await oldestFirst.nextItems()).map(({ sandboxId }) => sandboxId)).to.deep.equal([first, second]);
    const { nextToken } = oldestFirst;
    const resumed = Sandbox.list({ limit: 2, order: 'asc', ...(nextToken && { nextToken }) });
    expect(await pagesOf(resumed)).to.deep.equal([[third, fourth], [fifth]]);
    // Of one moment, over page boundaries: all once, as in one page.
    app.clock.now -= 2000;
    const twins = await createSome(session, [{}, {}]);
    const whole = (await pagesOf(Sandbox.list())).flat();
    expect((await pagesOf(Sandbox.list({ limit: 2 }))).flat()).to.deep.equal(whole);
    expect(whole).to.have.members([...ids, ...twins]);
  });
});

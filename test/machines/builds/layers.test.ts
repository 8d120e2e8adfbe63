import { expect } from 'chai';
import { type Caller, itHere, startApp, type TestApp } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { archiveOf, buildTemplate, step, upload } from './templates.ts';

describe('layers of template builds', () => {
  let app: TestApp;
  let alice: Caller;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    app = await startApp({ machines: 'process' });
    alice = await app.addUser('alice');
  });

  /** A step that leaves a trace on this machine each time that it runs. */
  const counted = (name: string, more = '') =>
    step('RUN', `echo ran >> ${app.dir}/${name}; echo ${name} > ${name}${more}`);
  const cachedOf = (text: string) => [...text.matchAll(/^CACHED \[(\d)/gm)].map(([, n]) => Number(n));

  itHere('the same steps from the same base are done once, also with other steps after them', async () => {
    const steps = [counted('a'), step('ENV', 'A', 'b'), step('WORKDIR', `${app.dir}/w`), counted('c')];
    const first = await buildTemplate(app, alice, steps);
    expect([first.build.reason, cachedOf(first.text)]).to.deep.equal([null, []]);
    const again = await buildTemplate(app, alice, steps, { name: 'other' });
    expect([again.build.reason, cachedOf(again.text)]).to.deep.equal([null, [1, 2, 3, 4]]);
    const longer = await buildTemplate(app, alice, [...steps, step('RUN', 'echo $A; pwd; cat ~/a')]);
    expect(cachedOf(longer.text)).to.deep.equal([1, 2, 3, 4]);
    expect(longer.text).to.contain(`[5] b\n[5] ${app.dir}/w\n[5] a\n`);
    const rows = await app.server.context.store.db.selectFrom('machine_snapshots').select('ref').execute();
    expect(rows).to.have.length(2);
  });

  itHere('force, another base, other files and other owners begin anew', async () => {
    const bob = await app.addUser('bob');
    const hashes = await Promise.all(
      ['1', '2'].map((text) => upload(app, alice, { templateId: 'x' }, archiveOf(app.dir, `echo ${text} > f`))),
    );
    const steps = (n: number) => [counted('a'), { ...step('COPY', 'f', 'f'), filesHash: hashes[n] as string }];
    const cached = async (...args: [Caller, ReturnType<typeof steps>, object?]) =>
      cachedOf((await buildTemplate(app, ...args)).text);
    expect(await cached(alice, steps(0))).to.deep.equal([]);
    expect(await cached(alice, steps(0))).to.deep.equal([1, 2]);
    expect(await cached(alice, steps(1))).to.deep.equal([]);
    expect(await cached(alice, steps(0), { force: true })).to.deep.equal([]);
    expect(
      await cached(
        alice,
        steps(0).map((each, n) => ({ ...each, force: n === 1 })),
      ),
    ).to.deep.equal([]);
    expect(await cached(alice, steps(0), { from: { image: 'another' } })).to.deep.equal([]);
    expect(await cached(bob, [counted('a')])).to.deep.equal([]);
  });

  itHere('long steps are kept by themselves, and a step that fails leaves those before it', async () => {
    const failing = await buildTemplate(app, alice, [counted('a', '; sleep 2.1'), counted('b'), step('RUN', 'exit 3')]);
    expect(failing.build.failedStep).to.equal('3');
    const fixed = await buildTemplate(app, alice, [counted('a', '; sleep 2.1'), counted('b'), step('RUN', 'cat a b')]);
    expect([fixed.build.reason, cachedOf(fixed.text)]).to.deep.equal([null, [1]]);
    expect(fixed.text).to.contain('[3] a\n[3] b');
  });

  itHere('a layer that the driver has lost is made again, and one that nothing names is removed', async () => {
    const { driver } = app.server.context.machines ?? {};
    const { db } = app.server.context.store;
    const steps = [counted('a')];
    await buildTemplate(app, alice, steps);
    for (const { ref } of (await driver?.snapshots()) ?? []) await driver?.removeSnapshot(ref);
    const again = await buildTemplate(app, alice, steps);
    expect(again.build.reason).to.equal(null);
    expect(again.text).to.match(/CACHED .*\n[\s\S]*What was kept .* is gone.*\n\[1\/1\] RUN/);
    await db.deleteFrom('snapshots').execute();
    await db.deleteFrom('template_layers').execute();
    app.server.context.machines?.collectSnapshots();
    await until('the removal', async () => (await driver?.snapshots())?.length === 0);
  });
});

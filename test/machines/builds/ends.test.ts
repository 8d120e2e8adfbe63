import { expect } from 'chai';
import { findBuild } from '../../../db/builds/builds.ts';
import { type Caller, itHere, startApp, type TestApp } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { beginBuild, buildTemplate, endOf, step } from './templates.ts';

describe('the end of template builds', () => {
  let app: TestApp;
  let alice: Caller;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    app = await startApp({ machines: 'process' });
    alice = await app.addUser('alice');
  });

  const rows = (of = app) => of.server.context.store.db.selectFrom('machines').select('sandbox_id').execute();
  const forever = step('RUN', 'echo begun; sleep 1000');
  /** Waits until a command of the only build runs. */
  async function begun(id: string): Promise<void> {
    const { db } = app.server.context.store;
    const logs = db.selectFrom('template_build_logs').select('message').where('build_id', '=', id);
    const hasBegun = async () => (await logs.execute()).some(({ message }) => message.endsWith('] begun'));
    await until('the command', hasBegun);
  }

  itHere('a build whose row is gone ends at once and leaves nothing', async () => {
    const { store, machines } = app.server.context;
    const build = await beginBuild(app, alice, [forever]);
    await begun(build.id);
    await store.db.deleteFrom('template_builds').where('id', '=', build.id).execute();
    machines?.builds.cancel(build.id);
    await until(
      'the removal',
      async () => (await rows()).length === 0 && (await machines?.driver.list())?.length === 0,
    );
    expect(await findBuild(store.db, alice.id, build.templateId, build.id)).to.equal(null);
  });

  itHere('a server that stops or crashes fails its builds, and the next one removes their machines', async () => {
    const build = await beginBuild(app, alice, [forever]);
    await begun(build.id);
    await app.close();
    const next = await startApp({ machines: 'process', db: app.server.context.config.db });
    const { build: ended, text } = await endOf(next, build);
    expect(ended).to.include({
      status: 'error',
      reason: 'The server stopped while it built the template: build it again',
    });
    expect(text).to.contain('] begun');
    await until('the removal', async () => (await rows(next)).length === 0);
    // What a crash leaves: a build under way, and its machine's row.
    const { db } = next.server.context.store;
    await db.updateTable('template_builds').set({ status: 'building', finished_at: null }).execute();
    const row = { sandbox_id: 'left', owner_id: alice.id, image: 'x', created_at: 0, driver: 'process' };
    await db.insertInto('machines').values(row).execute();
    await next.close();
    const last = await startApp({ machines: 'process', db: app.server.context.config.db });
    expect((await endOf(last, build)).build.reason).to.match(/The server stopped/);
    await until('the removal', async () => (await rows(last)).length === 0);
  });

  itHere('an owner builds two at once, and holds up nobody else', async () => {
    const bob = await app.addUser('bob');
    const builds = [];
    for (const name of ['a', 'b', 'c']) builds.push(await beginBuild(app, alice, [forever], { name }));
    for (const { id } of builds.slice(0, 2)) await begun(id);
    expect((await buildTemplate(app, bob, [step('RUN', 'true')])).build.status).to.equal('ready');
    await until('the removal of one machine', async () => (await rows()).length === 2);
    app.server.context.machines?.builds.cancel(builds[0]?.id ?? '');
    await begun(builds[2]?.id ?? '');
    expect((await endOf(app, builds[0] ?? { id: '' })).build.reason).to.equal('The build was given up');
  });

  itHere('what it can not start from is said in words', async () => {
    const reasonOf = async (...[, , steps, more]: Parameters<typeof buildTemplate>) =>
      (await buildTemplate(app, alice, steps, more)).build;
    for (const [from, words] of [
      [{ template: 'nobodys' }, /template 'nobodys' not found/],
      [{ image: 'missing/image' }, /docker\.io\/missing\/image:latest could not be pulled: There is no image/],
      [{ image: 'missing/../x' }, /missing\/\.\.\/x can't be pulled: that is no reference of an image/],
    ] as const) {
      const build = await reasonOf(app, alice, [], { from });
      expect(build).to.include({ status: 'error', failedStep: 'base' });
      expect(build.reason).to.match(words);
    }
    const closed = await startApp({ machines: 'process', templateImages: 'templates', image: 'known' });
    const carol = await closed.addUser('carol');
    const refused = await buildTemplate(closed, carol, [], { from: { image: 'x' } });
    expect(refused.build.reason).to.match(/^x is none of the images/);
    expect((await buildTemplate(closed, carol, [], { from: { image: 'known' } })).build.status).to.equal('ready');
  });
});

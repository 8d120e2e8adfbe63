import { expect } from 'chai';
import { changeMachine, engineCall } from '../../app/machines/lifecycle/parts.ts';
import { Verbs } from '../../app/machines/lifecycle/verbs.ts';
import { forever } from './fake-driver.ts';

describe('the limits of a change of a machine', () => {
  const codeOf = (work: Promise<unknown>) => work.then(() => 'done').catch(({ code }) => code);
  const check = async () => {};

  it('timeout: an engine that hangs', async () => {
    expect(await codeOf(engineCall(forever(), AbortSignal.timeout(1)))).to.equal('timeout');
  });

  it('timeout: a change whose turn does not come, which then does nothing', async () => {
    const verbs = new Verbs();
    const followed: string[] = [];
    const parts = { verbs, follow: (id: string) => void followed.push(id) };
    const before = Promise.withResolvers<void>();
    const first = changeMachine(parts, 'a', check, () => before.promise);
    let hasChanged = false;
    const change = async () => {
      hasChanged = true;
    };
    expect(await codeOf(changeMachine(parts, 'a', check, change, 1))).to.equal('timeout');
    expect(await codeOf(changeMachine(parts, 'b', check, async () => {}, 1000))).to.equal('done');
    before.resolve();
    await first;
    await verbs.run('a', async () => {});
    expect([hasChanged, followed]).to.deep.equal([false, []]);
  });

  it('lets a machine follow its record only after a change that had begun', async () => {
    const followed: string[] = [];
    const parts = { verbs: new Verbs(), follow: (id: string) => void followed.push(id) };
    const fail = () => Promise.reject(new Error('no'));
    await changeMachine(parts, 'refused', fail, check).catch(() => {});
    await changeMachine(parts, 'failed', check, fail).catch(() => {});
    expect(followed).to.deep.equal(['failed']);
  });
});

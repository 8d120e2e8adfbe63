import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { Lanes } from '../../app/api/envd/lanes.ts';

describe('tasks that hold much memory', () => {
  it('run one of a sandbox at a time and few in all, in the order in which they came', async () => {
    const lanes = new Lanes(2);
    const events: string[] = [];
    const ends = new Map<string, (error?: Error) => void>();
    const run = (name: string) =>
      lanes.run(name[0] ?? '', async () => {
        events.push(name);
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        ends.set(name, (error) => (error ? reject(error) : resolve(name)));
        return promise;
      });
    const end = async (name: string, error?: Error) => {
      ends.get(name)?.(error);
      await nextTurn();
    };
    const results = Promise.allSettled(['a1', 'a2', 'b1', 'c1', 'b2'].map(run));
    await nextTurn();
    expect(events).to.deep.equal(['a1', 'b1']);
    await end('b1', new Error('failed'));
    expect(events.slice(2)).to.deep.equal(['c1']);
    await end('a1');
    expect(events.slice(3)).to.deep.equal(['a2']);
    await end('c1');
    expect(events.slice(4)).to.deep.equal(['b2']);
    await end('a2');
    await end('b2');
    expect((await results).map(({ status }) => status === 'fulfilled')).to.deep.equal([true, true, false, true, true]);
  });
});

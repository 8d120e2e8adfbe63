import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { Starts } from '../../app/machines/launch/starts.ts';

const never = new AbortController().signal;

describe('the turns of creates', () => {
  /** Asks for a turn; the returned list gets the name when the turn comes. */
  function asking(starts: Starts) {
    const started: string[] = [];
    const ask = (ownerId: number, name: string, signal = never) =>
      starts.acquire(ownerId, signal).then(() => void started.push(name));
    return { started, ask };
  }

  it('are eight at a time, and go round among owners', async () => {
    const starts = new Starts();
    const { started, ask } = asking(starts);
    for (let n = 0; n < 12; n += 1) void ask(1, `a${n}`);
    for (const name of ['b0', 'b1']) void ask(2, name);
    void ask(3, 'c0');
    await nextTurn();
    expect(started).to.deep.equal(['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7']);
    for (let n = 0; n < 7; n += 1) {
      starts.release(1);
      await nextTurn();
    }
    expect(started.slice(8)).to.deep.equal(['b0', 'c0', 'b1', 'a8', 'a9', 'a10', 'a11']);
  });

  it('are not taken by those who gave up, nor by more than may wait', async () => {
    const starts = new Starts();
    const { started, ask } = asking(starts);
    for (let n = 0; n < 8; n += 1) void ask(1, `a${n}`);
    const leaving = new AbortController();
    const left = ask(2, 'b0', leaving.signal).catch((error) => error.message);
    leaving.abort(new Error('gone'));
    expect(await left).to.equal('gone');
    for (let n = 0; n < 256; n += 1) void ask(1, 'waiting');
    expect(await ask(1, 'too many').catch(({ code }) => code)).to.equal('full');
    void ask(2, 'b1');
    starts.release(1);
    await nextTurn();
    expect(started.at(-1)).to.equal('b1');
  });
});

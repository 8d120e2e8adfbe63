import { expect } from 'chai';
import fc from 'fast-check';
import { type Reply, ReplyQueue } from '../../../app/machines/agent/reply-queue.ts';
import { MachineError } from '../../../app/machines/error.ts';

type Type = Reply['type'];
const isOutput = (type: Type | undefined) => type === 'data' || type === 'stderr';

/** Returns replies as words, with pieces of the same output joined. */
function words(replies: Reply[]): string[] {
  const joined: { type: Type; text: string }[] = [];
  for (const { type, payload } of replies) {
    const last = joined.at(-1);
    if (last?.type === type && isOutput(type)) last.text += payload.toString('latin1');
    else joined.push({ type, text: payload.toString('latin1') });
  }
  return joined.map(({ type, text }) => `${type} ${text}`);
}

const anyReply = fc.record({
  type: fc.constantFrom<Type>('data', 'stderr', 'message', 'done'),
  payload: fc
    .oneof(fc.nat(30), fc.constantFrom(0, 5_000, 16_384, 16_385, 32_767, 32_768, 65_536))
    .map((n) => Buffer.alloc(n, 'ab')),
});
const anyStep = fc.oneof(anyReply, fc.constant('shift' as const));

describe('the replies that nobody has read yet', () => {
  it('come out as they went in, whatever the order of both', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
        const queue = new ReplyQueue();
        const [pushed, shifted]: [Reply[], Reply[]] = [[], []];
        const shift = () => {
          const reply = queue.shift();
          if (reply !== undefined) shifted.push({ ...reply, payload: Buffer.from(reply.payload) });
        };
        for (const step of steps) {
          if (step === 'shift') shift();
          else {
            queue.push(step.type, step.payload);
            pushed.push(step);
          }
        }
        while (!queue.isEmpty) shift();
        expect(words(shifted)).to.deep.equal(words(pushed));
        expect(queue.shift()).to.equal(undefined);
      }),
    );
  });

  it('do not change when more arrives after they were taken', () => {
    const queue = new ReplyQueue();
    queue.push('data', Buffer.from('one'));
    queue.push('message', Buffer.from('two'));
    const one = queue.shift();
    queue.push('data', Buffer.from('three'));
    queue.shift();
    queue.push('data', Buffer.from('four'));
    expect(one?.payload.toString()).to.equal('one');
    expect(queue.shift()?.payload.toString()).to.equal('threefour');
  });

  it('do not keep the chunks in which small ones arrived', () => {
    const queue = new ReplyQueue();
    const chunk = Buffer.alloc(65_536);
    for (const size of [1, 100, 32_767]) {
      queue.push('message', chunk.subarray(0, size));
      expect(queue.shift()?.payload.buffer.byteLength).to.be.at.most(chunk.length / 2);
    }
  });

  it('are few when output arrives byte by byte', () => {
    const queue = new ReplyQueue();
    for (let n = 0; n < 262_144; n++) queue.push('data', Buffer.from('x'));
    let count = 0;
    for (; !queue.isEmpty; count++) queue.shift();
    expect(count).to.equal(16);
  });

  it('are bounded in number', () => {
    const queue = new ReplyQueue();
    const empty = Buffer.alloc(0);
    for (let n = 0; n < 65_536; n++) queue.push('message', empty);
    expect(() => queue.push('message', empty)).to.throw(MachineError);
  });

  it('that were read no longer count', () => {
    const queue = new ReplyQueue();
    queue.push('message', Buffer.from('x'));
    for (let n = 0; n < 200_000; n++) {
      queue.push('message', Buffer.from('y'));
      queue.shift();
    }
    expect(queue.shift()?.payload.toString()).to.equal('y');
    expect(queue.isEmpty).to.equal(true);
  });
});

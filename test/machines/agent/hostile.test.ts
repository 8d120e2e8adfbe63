import { duplexPair } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Agent, connectAgent } from '../../../app/machines/agent/agent.ts';
import { AgentError } from '../../../app/machines/agent/error.ts';
import { listDirectory, statFile, watchDirectory } from '../../../app/machines/agent/files.ts';
import { frameHeader, frameTypes, initialCredit } from '../../../app/machines/agent/frames.ts';
import { listProcesses, recentOutput, startProcess } from '../../../app/machines/agent/processes.ts';
import { request } from '../../../app/machines/agent/requests.ts';
import { ArgumentWriter } from '../../../app/machines/agent/values.ts';
import { MachineError } from '../../../app/machines/error.ts';
import { failureOf } from './failure.ts';
import { connectFake, FakeAgent, hello } from './fake-agent.ts';

const { data, message, done, credit, cancel, open, error } = frameTypes;
const noArguments = Buffer.alloc(0);
const u32 = (value: number) => new ArgumentWriter().u32(value).bytes();

/** Sends frames on an open call, and returns how the call and the connection end. */
async function answered(...frames: [type: number, payload: Buffer, call?: number][]): Promise<string> {
  const { fake, agent } = await connectFake();
  const other = agent.open('watch', noArguments).next();
  await fake.take(open);
  const call = agent.open('read', noArguments);
  const { call: number } = await fake.take(open);
  for (const [type, payload, wrong] of frames) fake.send(wrong ?? number, type, payload);
  const failure = await failureOf(other);
  await agent.closed;
  call.cancel();
  return failure;
}

describe('an agent that breaks the protocol', () => {
  it('is cut off when it answers a call that is not open', async () => {
    expect(await answered([done, noArguments, 77])).to.match(/^MachineError failed: .*call 77, which is not open/);
    expect(await answered([data, Buffer.from('x'), 0])).to.match(/^MachineError failed: .*call 0/);
  });

  it('is cut off when it goes on after DONE', async () => {
    expect(await answered([done, noArguments], [message, noArguments])).to.match(/call 2, which is not open/);
  });

  it('is cut off when it sends more than its credit', async () => {
    const full = Buffer.alloc(65_536);
    const frames = Array.from({ length: initialCredit / full.length }, () => [data, full] as [number, Buffer]);
    expect(await answered(...frames, [message, Buffer.from('x')])).to.match(/^MachineError failed: .*more than it may/);
  });

  it('is cut off when it sends empty messages without end', async () => {
    const { fake, agent } = await connectFake();
    agent.open('watch', noArguments);
    const { call } = await fake.take(open);
    fake.sendRaw(Buffer.concat(Array.from({ length: 65_537 }, () => frameHeader(call, message, 0))));
    expect(await failureOf(agent.open('list', noArguments).next())).to.match(
      /^MachineError failed: .*too many messages/,
    );
  });

  it('is cut off when it sends on canceled calls for ever', async () => {
    const { fake, agent } = await connectFake();
    agent.open('read', noArguments).cancel();
    const { call } = await fake.take(cancel);
    const pending = agent.open('watch', noArguments).next();
    for (let n = 0; n < 20; n++) fake.send(call, data, Buffer.alloc(65_536));
    expect(await failureOf(pending)).to.match(/^MachineError failed: .*not open/);
  });

  it('is cut off when it answers a call that never was, also after one was canceled', async () => {
    for (const number of [0, 9]) {
      const { fake, agent } = await connectFake();
      agent.open('read', noArguments).cancel();
      await fake.take(cancel);
      const pending = agent.open('watch', noArguments).next();
      fake.send(number, data, Buffer.from('x'));
      expect(await failureOf(pending)).to.match(/^MachineError failed: .*not open/);
    }
  });

  it('is cut off when it grants too much, or sends a broken error', async () => {
    expect(await answered([credit, u32(2 ** 31)])).to.match(/granted too much/);
    expect(await answered([credit, Buffer.alloc(3)])).to.match(/too short/);
    expect(await answered([error, Buffer.from([99, 0, 0, 0, 0])])).to.match(/unknown error code 99/);
    expect(await answered([error, Buffer.from([1, 255, 255, 255, 255])])).to.match(/too short/);
    expect(await answered([frameTypes.hello, hello(), 0])).to.match(/greeting/);
  });

  it('can not hold up others with a flood of tiny frames', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('watch', noArguments);
    const { call: number } = await fake.take(open);
    let [thisTurn, most, seen] = [0, 0, 0];
    fake.channel.on('data', () => {
      most = Math.max(most, ++thisTurn);
      seen++;
    });
    const tiny = Buffer.concat([frameHeader(number, data, 1), Buffer.from('x')]);
    for (let n = 0; n < 20; n++) fake.sendRaw(Buffer.concat(Array.from({ length: 5_000 }, () => tiny)));
    for (; seen < 20; thisTurn = 0) await nextTurn();
    expect(most).to.be.at.most(2);
    call.cancel();
    agent.close();
  });

  it('can not make the server keep an answer without end', async () => {
    const { fake, agent } = await connectFake();
    const listing = failureOf(listDirectory(agent, '', '/', 1, 1e9));
    const { call } = await fake.take(open);
    const entries = Buffer.concat(Array.from({ length: 600 }, () => entry()));
    let room = initialCredit;
    for (let sent = 0; sent <= 16 * 2 ** 20; sent += entries.length) {
      while (room < entries.length) room += (await fake.take(credit)).payload.readUInt32LE();
      fake.send(call, message, entries);
      room -= entries.length;
    }
    expect(await listing).to.equal('AgentError resource_exhausted: the answer is larger than 16 MiB');
    agent.close();
  });

  it('that does not read, whatever it grants, does not make the server keep what it writes', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('write', noArguments);
    const { call: number } = await fake.take(open);
    fake.pause();
    fake.send(number, credit, u32(100_000_000));
    await nextTurn();
    const writing = failureOf(call.write(Buffer.alloc(50_000_000)));
    for (let n = 0; n < 10; n++) await nextTurn();
    expect(fake.channel.writableLength).to.be.within(1, 1_000_000);
    agent.close();
    expect(await writing).to.match(/^MachineError gone: /);
  });

  it('that does not read gets no further calls', async () => {
    const { fake, agent } = await connectFake();
    fake.pause();
    const large = Buffer.alloc(1_000_000);
    for (let n = 0; n < 12; n++) agent.open('watch', large);
    expect(fake.channel.writableLength).to.be.lessThan(10_000_000);
    const failure = await failureOf(agent.open('list', noArguments).next());
    expect(failure).to.match(/^MachineError timeout: .*does not take any more calls/);
    agent.close();
  });

  it('that does not answer in time is given up, and told so', async () => {
    const { fake, agent } = await connectFake();
    const asking = request(agent, 'stat', noArguments, () => {}, undefined, 1);
    const { call } = await fake.take(open);
    expect(await failureOf(asking)).to.match(/^MachineError timeout: /);
    expect((await fake.take(cancel)).call).to.equal(call);
    agent.close();
  });

  it('has its messages cut to 4,096 characters', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('list', noArguments).next();
    const payload = new ArgumentWriter().u8(7).string('x'.repeat(60_000)).bytes();
    fake.send((await fake.take(open)).call, error, payload);
    expect((await failureOf(call)).length).to.be.lessThan(4_200);
    agent.close();
  });

  it('that does not greet in time is given up', async () => {
    const { channel } = new FakeAgent();
    expect(await failureOf(connectAgent(channel, 1))).to.match(/^MachineError timeout: /);
    expect(channel.destroyed).to.equal(true);
  });

  it('that greets with something else, hangs up or is gone is given up', async () => {
    for (const greet of [
      (fake: FakeAgent) => fake.send(1, done),
      (fake: FakeAgent) => fake.send(1, frameTypes.hello, hello()),
      (fake: FakeAgent) => fake.send(0, frameTypes.hello, Buffer.alloc(1)),
      (fake: FakeAgent) => fake.sendRaw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
      (fake: FakeAgent) => fake.end(),
      (fake: FakeAgent) => fake.channel.destroy(),
    ]) {
      const fake = new FakeAgent();
      greet(fake);
      expect(await failureOf(connectAgent(fake.channel))).to.match(/^MachineError (failed|gone): /);
      expect(fake.channel.destroyed).to.equal(true);
    }
  });

  it('of another version is refused in words', async () => {
    for (const [version, words] of [
      [0, /an older Sandpit.*version 0.*Start a new sandbox/],
      [2, /a newer Sandpit.*version 2.*Start a new sandbox/],
    ] as const) {
      const fake = new FakeAgent();
      fake.send(0, frameTypes.hello, hello(version));
      expect(await failureOf(connectAgent(fake.channel))).to.match(words);
    }
  });

  it('can send any bytes: only MachineError and AgentError come of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anySending, { maxLength: 30 }), async (sendings) => {
        const [channel, other] = duplexPair();
        other.on('error', () => {}).resume();
        other.write(Buffer.concat([frameHeader(0, frameTypes.hello, 10), hello()]));
        const agent = await connectAgent(channel);
        const results = Promise.allSettled(callAll(agent));
        for (const bytes of sendings) other.write(bytes);
        other.end();
        for (const result of await results) if (result.status === 'rejected') expectOurs(result.reason);
      }),
      { numRuns: 300 },
    );
  });
});

/** Returns an entry in the protocol's form. */
function entry(): Buffer {
  const start = new ArgumentWriter().string('name').string('/name').u8(1).u64(1).u32(0o644).u8(0);
  return start.string('user').string('user').u64(0).u32(0).string('').pairs({}).bytes();
}

/** Frames whose parts are right more often than chance would have it, or any bytes. */
const anySending = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.tuple(fc.nat(7), fc.constantFrom(data, 4, message, done, error, credit), anyPayload()).map(toFrame),
  },
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
);

function anyPayload(): fc.Arbitrary<Buffer> {
  const bytes = fc.oneof(fc.array(fc.constantFrom(0, 0, 0, 1, 2, 255), { maxLength: 80 }), fc.uint8Array());
  return bytes.map((each) => Buffer.from(each));
}

function toFrame([call, type, payload]: [number, number, Buffer]): Buffer {
  return Buffer.concat([frameHeader(call, type, payload.length), payload]);
}

function callAll(agent: Agent): Promise<unknown>[] {
  const spec = {
    user: '',
    cwd: '',
    args: ['x'],
    env: {},
    hasStdin: true,
    terminal: null,
    timeoutMilliseconds: 0,
    tag: '',
  };
  return [
    Array.fromAsync(startProcess(agent, spec)),
    listProcesses(agent),
    recentOutput(agent),
    statFile(agent, '', '/'),
    listDirectory(agent, '', '/', 1, 100),
    Array.fromAsync(watchDirectory(agent, '', '/', false).changes),
    agent.open('write', noArguments).write(Buffer.alloc(2 * initialCredit)),
  ];
}

function expectOurs(reason: unknown): void {
  expect(reason).to.satisfy((each: unknown) => each instanceof MachineError || each instanceof AgentError);
}

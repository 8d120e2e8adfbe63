import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { operations } from '../../../app/machines/agent/agent.ts';
import { frameTypes, initialCredit } from '../../../app/machines/agent/frames.ts';
import { connectProcess, listProcesses, sendInput, signalProcess } from '../../../app/machines/agent/processes.ts';
import { ArgumentWriter } from '../../../app/machines/agent/values.ts';
import { failureOf } from './failure.ts';
import { connectFake } from './fake-agent.ts';

const noArguments = Buffer.alloc(0);
const { data, stderr, message, done, credit, cancel, open, end, error } = frameTypes;
const u32 = (value: number) => new ArgumentWriter().u32(value).bytes();

describe('calls of an agent', () => {
  it('opens a call with its operation and arguments, and yields its frames up to DONE', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('stat', Buffer.from('args'));
    const opened = await fake.take(open);
    expect(opened.payload.toString('latin1')).to.equal(`${String.fromCharCode(operations.stat)}args`);
    fake.send(opened.call, data, Buffer.from('out'));
    fake.send(opened.call, stderr, Buffer.from('err'));
    fake.send(opened.call, message, Buffer.from('message'));
    fake.send(opened.call, done, Buffer.from('result'));
    const replies = [];
    for await (const { type, payload } of call) replies.push(`${type} ${payload}`);
    expect(replies).to.deep.equal(['data out', 'stderr err', 'message message', 'done result']);
    agent.close();
  });

  it('grants credit as replies are taken, and none to a reader that does not read', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('read', noArguments);
    const { call: number } = await fake.take(open);
    for (let sent = 0; sent < initialCredit; sent += 65_536) fake.send(number, data, Buffer.alloc(65_536));
    let taken = 0;
    while (taken < 65_536) taken += (await call.next()).value?.payload.length ?? 0;
    expect(fake.received).to.deep.equal([]);
    const next = call.next();
    const granted = (await fake.take(credit)).payload.readUInt32LE();
    expect(granted).to.equal(taken);
    await next;
    agent.close();
  });

  it('sends at most the credit, and goes on when the agent grants more', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('write', noArguments);
    const { call: number } = await fake.take(open);
    const writing = call.write(Buffer.alloc(initialCredit + 10));
    let sent = 0;
    while (sent < initialCredit) sent += (await fake.take(data)).payload.length;
    expect(sent).to.equal(initialCredit);
    fake.send(number, credit, u32(4));
    expect((await fake.take(data)).payload.length).to.equal(4);
    fake.send(number, credit, u32(100));
    expect((await fake.take(data)).payload.length).to.equal(6);
    await writing;
    call.end();
    expect((await fake.take(end)).call).to.equal(number);
    agent.close();
  });

  it('cancels a call whose loop is left early, and lets frames pass that were under way', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('read', noArguments);
    const { call: number } = await fake.take(open);
    fake.send(number, data, Buffer.from('x'));
    for await (const _ of call) break;
    expect((await fake.take(cancel)).call).to.equal(number);
    fake.send(number, data, Buffer.alloc(65_536));
    fake.send(number, done);
    const listing = listProcesses(agent);
    fake.send((await fake.take(open)).call, done);
    expect(await listing).to.deep.equal([]);
    agent.close();
  });

  it('throws the error of the agent where the call is read and where it is written', async () => {
    const { fake, agent } = await connectFake();
    const payload = new ArgumentWriter().u8(2).string('process with pid 7 not found').bytes();
    const signaling = signalProcess(agent, { pid: 7 }, 9);
    fake.send((await fake.take(open)).call, error, payload);
    expect(await failureOf(signaling)).to.equal('AgentError not_found: process with pid 7 not found');
    const writing = sendInput(agent, { pid: 7 }, false, [Buffer.alloc(initialCredit + 1)]);
    fake.send((await fake.take(open)).call, error, payload);
    expect(await failureOf(writing)).to.equal('AgentError not_found: process with pid 7 not found');
    agent.close();
  });

  it('ends pending reads and writes when the connection breaks', async () => {
    const { fake, agent } = await connectFake();
    const reading = agent.open('read', noArguments).next();
    const writing = agent.open('write', noArguments).write(Buffer.alloc(initialCredit + 1));
    await fake.take(open);
    await fake.take(open);
    fake.end();
    expect(await failureOf(reading)).to.match(/^MachineError gone: /);
    expect(await failureOf(writing)).to.match(/^MachineError gone: /);
    await agent.closed;
    expect(await failureOf(agent.open('list', noArguments).next())).to.match(/^MachineError gone: /);
  });

  it('ends events at once when their signal aborts, and tells the agent', async () => {
    const { fake, agent } = await connectFake();
    const leaving = new AbortController();
    const next = connectProcess(agent, { pid: 7 }, leaving.signal).next();
    const { call } = await fake.take(open);
    leaving.abort();
    expect(await next).to.deep.equal({ done: true, value: undefined });
    expect((await fake.take(cancel)).call).to.equal(call);
    agent.close();
  });

  it('throws the reason of the signal from a call that has one result', async () => {
    const { fake, agent } = await connectFake();
    const leaving = new AbortController();
    const listing = listProcesses(agent, leaving.signal);
    await fake.take(open);
    leaving.abort(new Error('left'));
    expect(await failureOf(listing)).to.equal('Error undefined: left');
    expect(await failureOf(listProcesses(agent, leaving.signal))).to.equal('Error undefined: left');
    agent.close();
  });

  it('cancels a call whose answer it does not understand', async () => {
    const { fake, agent } = await connectFake();
    const signaling = signalProcess(agent, { pid: 7 }, 9);
    const { call } = await fake.take(open);
    fake.send(call, message, Buffer.from('?'));
    expect(await failureOf(signaling)).to.match(/^MachineError failed: .*message instead of done/);
    expect((await fake.take(cancel)).call).to.equal(call);
    agent.close();
  });

  it('leaves nothing behind at a signal, and no timer', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    // Mocha sets its own timer once a test has begun.
    await nextTurn();
    const before = timers();
    const { fake, agent } = await connectFake();
    const { signal } = new AbortController();
    for (let n = 0; n < 20; n++) {
      const listing = listProcesses(agent, signal);
      fake.send((await fake.take(open)).call, done);
      await listing;
    }
    expect(getEventListeners(signal, 'abort')).to.have.length(0);
    expect(timers()).to.equal(before);
    agent.close();
  });

  it('lets others work while replies that are here already are read', async () => {
    const { fake, agent } = await connectFake();
    const call = agent.open('watch', noArguments);
    const { call: number } = await fake.take(open);
    for (let n = 0; n < 20; n++) fake.send(number, message, Buffer.from('x'));
    fake.send(number, done);
    await nextTurn();
    let turns = 0;
    const turn = () => {
      turns++;
      if (turns < 100) setImmediate(turn);
    };
    setImmediate(turn);
    for await (const _ of call) for (const end = performance.now() + 2; performance.now() < end; );
    expect(turns).to.be.greaterThan(3);
    turns = 100;
    agent.close();
  });

  it('refuses values that the protocol can not hold', async () => {
    const { fake, agent } = await connectFake();
    expect(await failureOf(signalProcess(agent, { pid: 2 ** 32 }, 9))).to.match(/^AgentError invalid_argument: /);
    expect(await failureOf(signalProcess(agent, { tag: 'a\0b' }, 9))).to.match(/^AgentError invalid_argument: /);
    expect(fake.received).to.deep.equal([]);
    agent.close();
  });

  it('refuses more than 1,024 calls at once', async () => {
    const { agent } = await connectFake();
    for (let n = 0; n < 1_024; n++) agent.open('watch', noArguments);
    const failure = await failureOf(agent.open('list', noArguments).next());
    expect(failure).to.match(/^AgentError resource_exhausted: /);
    agent.close();
  });
});

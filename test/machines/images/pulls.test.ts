import { Writable } from 'node:stream';
import { expect } from 'chai';
import { createLog } from '../../../app/log/log.ts';
import { MachineError } from '../../../app/machines/error.ts';
import { Pulls } from '../../../app/machines/images/pulls.ts';
import { FakeRegistry, until } from './registry.ts';

describe('pulling images in the background', () => {
  let registry: FakeRegistry;
  let lines: { msg: string; image: string; reason?: string }[];
  let wanted: Set<string>;
  let pulls: Pulls;
  beforeEach(() => {
    registry = new FakeRegistry();
    lines = [];
    wanted = new Set(['one', 'two']);
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        lines.push(JSON.parse(String(chunk)));
        done();
      },
    });
    pulls = new Pulls({
      driver: registry,
      log: createLog('info', sink),
      isWanted: async (image) => wanted.has(image),
      pauseMilliseconds: 1,
    });
  });
  afterEach(() => pulls.stop());

  const refusal = (image: string) => {
    const { status, message, headers } = pulls.refusal(image);
    return { status, message, retryAfter: headers['Retry-After'] };
  };
  const logged = () => lines.map(({ msg, image }) => `${msg}: ${image}`);

  it('pulls one image at a time, each once, and says how far it is', async () => {
    for (const image of ['one', 'two', 'one']) pulls.add(image);
    const first = await registry.pullOf(0);
    expect(refusal('one')).to.deep.equal({ status: 503, message: 'The image one is being pulled', retryAfter: '5' });
    first.progress('3 of 7 layers');
    expect(refusal('one').message).to.equal('The image one is being pulled: 3 of 7 layers');
    expect(refusal('two')).to.deep.equal({ status: 503, message: 'The image two waits to be pulled', retryAfter: '5' });
    expect(registry.pulls).to.have.length(1);
    first.succeed();
    (await registry.pullOf(1)).succeed();
    await until(() => lines.length === 4);
    expect(logged()).to.deep.equal([
      'pulling an image: one',
      'pulled an image: one',
      'pulling an image: two',
      'pulled an image: two',
    ]);
    expect(registry.pulls.map(({ image }) => image)).to.deep.equal(['one', 'two']);
  });

  it('tries again after a failure, says why it failed, and lets other images come first', async () => {
    pulls.add('one');
    (await registry.pullOf(0)).fail(new MachineError('failed', 'the registry is full'));
    const { image, succeed } = await registry.pullOf(1);
    expect(image).to.equal('one');
    expect(lines.find(({ reason }) => reason)).to.include({ image: 'one', reason: 'the registry is full' });
    pulls.add('two');
    succeed();
    (await registry.pullOf(2)).succeed();
    await until(() => logged().includes('pulled an image: two'));
  });

  it('answers 503 with the reason between two tries, or 404 when no registry has the image', async () => {
    pulls = new Pulls({ driver: registry, log: createLog('silent', new Writable()), isWanted: async () => true });
    pulls.add('one');
    (await registry.pullOf(0)).fail(new MachineError('failed', 'The disk is full.'));
    await until(() => refusal('one').message.startsWith('The image one could'));
    const { status, message, retryAfter } = refusal('one');
    expect([status, retryAfter]).to.deep.equal([503, '5']);
    expect(message).to.match(/^The image one could not be pulled: The disk is full\. The next try is in \d+ s$/);
    pulls.add('two');
    (await registry.pullOf(1)).fail(new MachineError('no_image', 'no registry has it'));
    await until(() => refusal('two').status === 404);
    expect(refusal('two').message).to.equal('The image two could not be pulled: no registry has it');
  });

  it('gives up an image that nothing needs any more', async () => {
    pulls.add('one');
    wanted.clear();
    (await registry.pullOf(0)).fail(new MachineError('failed', 'no'));
    pulls.add('two');
    (await registry.pullOf(1)).succeed();
    await until(() => pulls.planned().length === 0);
    expect(registry.pulls.map(({ image }) => image)).to.deep.equal(['one', 'two']);
  });

  it('cuts the pull under way short when the server stops', async () => {
    pulls.add('one');
    await registry.pullOf(0);
    await pulls.stop();
    pulls.add('two');
    expect(registry.pulls).to.have.length(1);
    expect(logged()).to.deep.equal(['pulling an image: one']);
  });
});

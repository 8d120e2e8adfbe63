import { once } from 'node:events';
import { summarize } from '../bench/report/stats.ts';
import { Receiver } from '../helpers/clients/webhook-client.ts';
import { isMeasured } from './helpers/scale.ts';
import { useTarget } from './helpers/target.ts';
import { abuse, figures } from './runner/record.ts';

/** In a measured run, more attempts than there are slots in total. */
const owners = isMeasured ? 40 : 4;
const endpoints = isMeasured ? 20 : 10;
const events = isMeasured ? 50 : 10;

describe('abuse: receivers that never answer', () => {
  const target = useTarget();
  const hanging = new Receiver();
  const prompt = new Receiver();
  before(async () => {
    hanging.answer = () => {};
    for (const { server } of [hanging, prompt]) if (!server.listening) await once(server, 'listening');
  });
  after(() => {
    for (const receiver of [hanging, prompt]) receiver.close();
  });

  const post = (key: string, path: string, body: object) =>
    target().ask('POST', path, { headers: { 'X-API-Key': key }, body: JSON.stringify(body) });
  const hook = (key: string, { url }: Receiver) =>
    post(key, '/v1/webhooks/endpoints', { url, event_patterns: ['vm.created'] });

  /**
   * Creates sandboxes one after another. Returns how long each took to reach the receiver, in
   * milliseconds.
   */
  const told = async (key: string): Promise<number[]> => {
    const times: number[] = [];
    for (let n = 0; n < events; n++) {
      const count = prompt.messages.length + 1;
      const begin = performance.now();
      await post(key, '/v1/vms', {});
      await prompt.received(count);
      times.push(performance.now() - begin);
    }
    return times;
  };

  const sent = `${owners} owners with ${endpoints} endpoints each that never answer`;
  abuse('webhooks', sent, `another owner's ${events} events told within 5 s each`, async () => {
    const alice = await target().addUser('alice');
    await hook(alice, prompt);
    const calm = summarize(await told(alice));
    for (let owner = 0; owner < owners; owner++) {
      const key = await target().addUser(`hostile${owner}`);
      for (let n = 0; n < endpoints; n++) await hook(key, hanging);
      for (let n = 0; n < 3; n++) await post(key, '/v1/vms', {});
    }
    await hanging.received(Math.min(owners * endpoints, 512));
    const times = await told(alice);
    const { p50, p99, max } = summarize(times);
    figures.push(
      `${sent}, ${hanging.messages.length} attempts so far: another owner's event is told after p50 ${p50.toFixed(1)} ` +
        `p99 ${p99.toFixed(1)} ms, longest ${max.toFixed(0)} ms (p50 ${calm.p50.toFixed(1)} p99 ${calm.p99.toFixed(1)} before)`,
    );
    return max < 5000 ? `another owner's ${events} events told within 5 s each` : `one told after ${max.toFixed(0)} ms`;
  });
});

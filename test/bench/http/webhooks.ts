import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from '../options.ts';
import { trial } from '../progress.ts';
import type { WebhookRow } from '../report/results.ts';
import { startWorker } from '../worker.ts';
import { prepareStage } from './http.ts';
import type { ReceiverMethods } from './receiver.ts';
import { startSandpit } from './servers.ts';

const messages = 10_000;

/**
 * Measures the rate of webhooks after a bulk kill to a receiver that responds at once, against a
 * bare loop of posts before and after.
 */
export async function measureWebhooks(bench: Bench): Promise<WebhookRow[]> {
  const { file, key } = await prepareStage(bench, 1000);
  const receiver = startWorker<ReceiverMethods>('http/receiver.ts', [], 1);
  const sender = startWorker<ReceiverMethods>('http/receiver.ts', [], 0);
  const to = await receiver.listen();
  const { port } = await startSandpit(bench, 'sandpit', file, 'silent', '--webhook-allow', '127.0.0.0/8');
  const post = async (path: string, body: object) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const sent = { method: 'POST', headers, body: JSON.stringify(body) };
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, sent);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  };
  await post('/v1/webhooks/endpoints', { url: `http://127.0.0.1:${to}/`, event_patterns: ['vm.killed'] });
  for (let n = 0; n < messages; n++) await post('/v1/vms', { metadata: { bench: 'webhooks' } });
  const before = await sender.post(to, messages);
  const start = performance.now();
  const first = await receiver.count();
  await post('/v1/sandboxes/kill', { metadata: { bench: 'webhooks' } });
  while ((await receiver.count()) < first + messages) await delay(10);
  const perSecond = messages / ((performance.now() - start) / 1000);
  const bare = (before + (await sender.post(to, messages))) / 2;
  trial(`webhooks: ${perSecond.toFixed(0)}/s, a bare loop ${bare.toFixed(0)}/s`);
  return [{ messages, perSecond, bare }];
}

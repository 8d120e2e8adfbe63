import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { call } from './client.ts';
import type { Model } from './model.ts';

/** Reads a sandbox that others may be writing to. Errors in the response are added to `lies`. */
export async function readDuring(url: string, model: Model, id: string, lies: string[]): Promise<void> {
  const before = model.entries.get(id)?.state;
  const answer = await call(url, 'GET', `/v1/vms/${id}`);
  const after = model.entries.get(id)?.state;
  // A writer may be changing it.
  if (answer?.status !== 200) lies.push(`GET ${id} answered ${JSON.stringify(answer)}`);
  else if (before === after && !isDeepStrictEqual(answer.body, after)) await readAgain(url, model, id, lies);
}

async function readAgain(url: string, model: Model, id: string, lies: string[]): Promise<void> {
  await delay(200);
  const expected = model.entries.get(id)?.state;
  const answer = await call(url, 'GET', `/v1/vms/${id}`);
  if (expected !== model.entries.get(id)?.state) return;
  if (!isDeepStrictEqual(answer?.body, expected)) lies.push(`GET ${id} answered ${JSON.stringify(answer)}`);
}

import { setTimeout as delay } from 'node:timers/promises';
import { randomFrom } from '../../bench/data.ts';
import { type Ask, changeOf, creation } from './changes.ts';
import { isAfter, type Model, type Vm } from './model.ts';

export const apiKey = `e2b_${'7'.repeat(40)}`;

/** The number of refusals with each allowed status, 507 and 503. */
export type Tally = { acknowledged: number; refused: Record<number, number>; lies: string[] };

const connections = 6;
const answerMilliseconds = 10_000;

export type Writing = { url: string; model: Model; tally: Tally; seed: number; signal: AbortSignal; pause?: number };

/** Writes over several connections until stopped or until the server is gone. */
export async function writeOn(writing: Writing): Promise<void> {
  await Promise.all(
    Array.from({ length: connections }, (_, n) => writer(writing, randomFrom(writing.seed * 31 + n), n)),
  );
}

/**
 * Sends one change after another. Each sandbox belongs to one writer, so that at most one of its
 * changes is in doubt.
 */
async function writer(writing: Writing, random: () => number, n: number): Promise<void> {
  const { model, signal, pause } = writing;
  const own = [...model.entries.values()]
    .map(({ state }) => state)
    .filter((vm, index) => index % connections === n && vm.status !== 'killed')
    .slice(-100)
    .map((vm) => vm.vm_id);
  while (!signal.aborted) {
    const at = Math.floor(random() * own.length);
    const entry = random() < 0.35 ? undefined : model.entries.get(own[at] ?? '');
    const ask = entry ? changeOf(entry.state, random) : creation(random);
    const vm = await attempt(writing, ask);
    if (vm === 'gone') return;
    if (vm && !entry) own.push(vm.vm_id);
    if (vm?.status === 'killed') own.splice(at, 1);
    if (pause) await delay(pause);
  }
}

/**
 * Returns the sandbox as acknowledged by the server, null if it refused, or `gone` if it did not
 * respond.
 */
async function attempt({ url, model, tally }: Writing, ask: Ask): Promise<Vm | null | 'gone'> {
  const { id, change } = ask;
  const doubt = { change, sentAt: Date.now(), until: Number.POSITIVE_INFINITY };
  const answer = await call(url, ask.method, ask.path, ask.body);
  doubt.until = Date.now();
  if (answer === null) {
    model.doubt(id, doubt);
    return 'gone';
  }
  if (answer.status === 507 || answer.status === 503) {
    tally.refused[answer.status] = (tally.refused[answer.status] ?? 0) + 1;
    return null;
  }
  const vm = answer.body as Vm;
  const before = id === null ? {} : (model.entries.get(id)?.state ?? {});
  if (answer.status >= 300 || !isAfter(before, doubt, vm)) {
    tally.lies.push(`${ask.method} ${ask.path} answered ${answer.status} ${JSON.stringify(vm)}`);
    return null;
  }
  tally.acknowledged++;
  model.settle(vm);
  return vm;
}

/** Returns the response, or null if there is none. */
export async function call(
  url: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: unknown } | null> {
  const headers = { 'X-API-Key': apiKey, 'Content-Type': 'application/json' };
  try {
    const response = await fetch(url + path, {
      method,
      headers,
      signal: AbortSignal.timeout(answerMilliseconds),
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return null;
  }
}

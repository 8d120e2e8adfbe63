import { type Client, listPath, Unreachable } from '../http/client.ts';
import { answered, type Exchange } from '../http/exchange.ts';
import { itemsOf } from '../http/items.ts';
import { poll } from '../http/poll.ts';
import type { MakerOptions, OwnSandbox } from './sandbox.ts';

/** Ends the sandboxes that still run. Returns the failures, each with its reason. */
export async function endEach(client: Client, made: OwnSandbox[]): Promise<string[]> {
  const left: string[] = [];
  let unreachable: Unreachable | undefined;
  for (const sandbox of made) {
    if (sandbox.hasEnded) continue;
    try {
      // Waits for an unreachable server once only.
      if (unreachable) throw unreachable;
      await endOne(client, sandbox, { isCleanup: true });
    } catch (error) {
      if (error instanceof Unreachable) unreachable = error;
      left.push(`${sandbox.vmId ?? sandbox.sessionId}: ${(error as Error).message}`);
    }
  }
  return left;
}

/** Ends a sandbox by the ids that the server gave it. Throws an Error that says why it can't. */
export async function endOne(client: Client, sandbox: OwnSandbox, { isCleanup = false } = {}): Promise<Exchange> {
  const { vmId, sessionId } = sandbox;
  const requests: { method: string; path: string; body?: string }[] = [];
  if (vmId !== null) requests.push({ method: 'DELETE', path: `/v1/vms/${encodeURIComponent(vmId)}` });
  if (sessionId !== null)
    requests.push({ method: 'POST', path: '/kill', body: JSON.stringify({ session_id: sessionId }) });
  const failed: string[] = [];
  for (const { method, path, body } of requests) {
    const exchange = await client.send(method, path, { body, isCleanup });
    sandbox.hasEnded = exchange.status < 300;
    if (sandbox.hasEnded) return exchange;
    failed.push(answered(exchange));
  }
  throw new Error(failed.join(', '));
}

/**
 * Looks for at least `count` sandboxes that were made without an answer that names them, and adds
 * them to `made`. Returns why there may be another one.
 */
export async function findUnnamed(
  client: Client,
  { run, settleSeconds, maxLimit }: Pick<MakerOptions, 'run' | 'settleSeconds' | 'maxLimit'>,
  made: OwnSandbox[],
  count: number,
): Promise<string[]> {
  const perhaps = (why: string) => [`perhaps one more, with "conform_run":"${run}" in its metadata: ${why}`];
  try {
    const known = new Set(made.map(({ n }) => n));
    const listUnnamed = async () => (await listRun(client, run, maxLimit)).filter(({ n }) => !known.has(n));
    const found = await poll(listUnnamed, ({ length }) => length >= count, settleSeconds);
    made.push(...found);
    return found.length < count ? perhaps('it is not listed') : [];
  } catch (error) {
    return perhaps((error as Error).message);
  }
}

/** Lists the sandboxes with the run's random id in their metadata. */
async function listRun(client: Client, run: string, maxLimit: number): Promise<OwnSandbox[]> {
  const exchange = await client.send('GET', `${listPath}?limit=${maxLimit}`, { isCleanup: true });
  return itemsOf(exchange)
    .filter(({ metadata }) => metadata.conform_run === run)
    .map(({ sandbox_id, metadata }) => ({
      n: metadata.conform_n as number,
      metadata,
      vmId: sandbox_id,
      sessionId: null,
      hasEnded: false,
    }));
}

import { type Client, listPath, Unreachable } from '../http/client.ts';
import { answered, type Exchange } from '../http/exchange.ts';
import { itemsOf } from '../http/items.ts';
import { until } from '../http/poll.ts';
import type { MakerOptions, OwnSandbox } from './sandbox.ts';

/** Ends what runs. Returns what could not be ended, and why. */
export async function endEach(client: Client, made: OwnSandbox[]): Promise<string[]> {
  const left: string[] = [];
  let gone: Unreachable | undefined;
  for (const sandbox of made) {
    if (sandbox.hasEnded) continue;
    try {
      // A server that is gone isn't waited for again and again.
      if (gone) throw gone;
      await endOne(client, sandbox, { isCleanup: true });
    } catch (error) {
      if (error instanceof Unreachable) gone = error;
      left.push(`${sandbox.vmId ?? sandbox.sessionId}: ${(error as Error).message}`);
    }
  }
  return left;
}

/** Ends a sandbox by what the server named it when it was made. Throws an Error that says why it can't. */
export async function endOne(client: Client, sandbox: OwnSandbox, { isCleanup = false } = {}): Promise<Exchange> {
  const { vmId, sessionId } = sandbox;
  const attempts: [string, string, string?][] = [
    ...(vmId === null ? [] : [['DELETE', `/v1/vms/${encodeURIComponent(vmId)}`] as [string, string]]),
    ...(sessionId === null
      ? []
      : [['POST', '/kill', JSON.stringify({ session_id: sessionId })] as [string, string, string]]),
  ];
  const failed: string[] = [];
  for (const [method, path, body] of attempts) {
    const exchange = await client.send(method, path, { body, isCleanup });
    sandbox.hasEnded = exchange.status < 300;
    if (sandbox.hasEnded) return exchange;
    failed.push(answered(exchange));
  }
  throw new Error(failed.join(', '));
}

/**
 * Looks for sandboxes that were made without an answer that names them, `count` or more, and adds them to what was made.
 * Returns why there may be another one.
 */
export async function findUnnamed(
  client: Client,
  { run, settleSeconds }: Pick<MakerOptions, 'run' | 'settleSeconds'>,
  made: OwnSandbox[],
  count: number,
): Promise<string[]> {
  const perhaps = (why: string) => [`perhaps one more, with "conform_run":"${run}" in its metadata: ${why}`];
  try {
    const look = () => unnamedOf(client, run, made);
    const found = await until(look, ({ length }) => length >= count, settleSeconds);
    made.push(...found);
    return found.length < count ? perhaps('it is not listed') : [];
  } catch (error) {
    return perhaps((error as Error).message);
  }
}

/** What carries the run's tag, a random one, is ours. */
async function unnamedOf(client: Client, run: string, made: OwnSandbox[]): Promise<OwnSandbox[]> {
  const exchange = await client.send('GET', `${listPath}?limit=1000`, { isCleanup: true });
  const known = new Set(made.map(({ n }) => n));
  return itemsOf(exchange)
    .filter(({ metadata }) => metadata.conform_run === run && !known.has(metadata.conform_n as number))
    .map(({ sandbox_id, metadata }) => ({
      ...{ n: -1, metadata, sessionId: null, hasEnded: false },
      vmId: sandbox_id,
    }));
}

import { Agent, type IncomingMessage, type RequestListener, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { readConfig } from '../../../app/config/config.ts';
import { type Config, settings } from '../../../app/config/settings.ts';
import { createLog } from '../../../app/log/log.ts';
import type { SandpitServer } from '../../../app/server.ts';
import { openStore } from '../../../db/sqlite/open.ts';
import { loadContract } from '../../../spec/load.ts';
import { type Serving, serve } from './process.ts';

/**
 * Starts the executable as a server and returns it with the interface of one in this process. Its
 * store is opened here, too. Before each request its clock is set to the test's.
 */
export async function startRemote(config: Partial<Config>, clock: { now: number }): Promise<Remote> {
  const serving = await serve(flagsOf(config), { withClock: true });
  const whole = { ...readConfig({}, {}), ...config };
  const now = () => clock.now;
  const store = openStore(whole.db);
  const agent = new Agent({ keepAlive: true });
  const server = {
    app: forward(serving, clock, agent),
    context: {
      config: whole,
      contract: loadContract(),
      store,
      log: createLog('silent', { write: () => {} }),
      now,
      keyUse: new Map(),
    },
    start: async () => serving.url,
    close: async () => {
      agent.destroy();
      await serving.stop();
      await store.close();
    },
  };
  return { server: server as unknown as SandpitServer, log: () => serving.output.stdout };
}

type Remote = { server: SandpitServer; log: () => string };

function flagsOf(config: Partial<Config>): string[] {
  return Object.entries(config).flatMap(([name, value]) => [`--${settings[name as keyof Config].flag}`, textOf(value)]);
}

/** Formats settings as text: networks as address/prefix, rates as a count per second or minute. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map((item) => (Array.isArray(item) ? item.join('/') : item)).join(',');
  if (!isRate(value)) return String(value);
  return `${value.count}/${value.milliseconds === 1000 ? 's' : 'm'}`;
}

function isRate(value: unknown): value is NonNullable<Config['rateLimit']> {
  return typeof value === 'object' && value !== null && 'milliseconds' in value;
}

function forward(serving: Serving, clock: { now: number }, agent: Agent): RequestListener {
  let shown = Number.NaN;
  const pass = async (req: IncomingMessage, res: ServerResponse) => {
    if (shown !== clock.now) {
      shown = clock.now;
      await serving.setClock(shown);
    }
    const { hostname, port } = new URL(serving.url);
    const { method = '', url = '', rawHeaders } = req;
    const passed = request({ hostname, port, agent, method, path: url, headers: rawHeaders });
    passed.on('response', async (answer) => {
      for (const [name, value] of pairsOf(answer.rawHeaders)) if (!isOfConnection(name)) res.appendHeader(name, value);
      res.statusCode = answer.statusCode ?? 500;
      res.end(await buffer(answer));
    });
    // The server responds to some requests before it has read them completely.
    passed.on('error', () => res.destroy());
    req.pipe(passed);
  };
  return (req, res) => void pass(req, res);
}

function pairsOf(rawHeaders: string[]): [string, string][] {
  return rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? '']] : [])) as [
    string,
    string,
  ][];
}

function isOfConnection(name: string): boolean {
  return /^(connection|keep-alive|transfer-encoding|date)$/i.test(name);
}

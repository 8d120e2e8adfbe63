import { useEffect, useState } from 'preact/hooks';
import { call, get, type Schemas } from '../api/api.ts';
import { send } from '../api/call.ts';
import { html } from '../html.ts';
import { wordsOf } from '../parts/action.ts';

const everyMilliseconds = 5000;
const mostProbes = 60;

type Probe = { milliseconds: number; problem: string | null };

/** How the server is: whether it can serve, how much it serves, and how fast. */
export function HealthPage() {
  const [running, setRunning] = useState('');
  const [server, setServer] = useState<Schemas['Server'] | null>(null);
  const [probes, setProbes] = useState<Probe[]>([]);
  useEffect(() => {
    call('GET', 'v2/sandboxes', { query: { limit: 1, state: 'running' } }).then(
      ({ headers }) => setRunning(headers.get('X-Total-Running') ?? ''),
      () => {},
    );
    const look = async () => {
      const probe = await ask();
      setProbes((known) => [...known, probe].slice(-mostProbes));
      setServer(await get<Schemas['Server']>('v1/server').catch(() => null));
    };
    void look();
    const timer = setInterval(() => document.hidden || void look(), everyMilliseconds);
    return () => clearInterval(timer);
  }, []);
  const last = probes.at(-1);
  const times = probes.filter(({ problem }) => problem === null).map(({ milliseconds }) => milliseconds);
  const sorted = times.sort((a, b) => a - b);
  const facts: [string, unknown][] = [
    ['Version', server?.version ?? ''],
    ['Machines', server ? (server.machines ?? 'none: records only') : ''],
    ['Requests in the last hour', server ? requestsIn(server) : ''],
    ['Answered within', server ? timesIn(server) : ''],
    ['Your running sandboxes', running],
    ['State', last === undefined ? 'asking...' : (last.problem ?? 'ready')],
    [
      'Answers this browser within',
      sorted.length === 0 ? '' : `${quantile(sorted, 0.5)} (median), ${quantile(sorted, 1)} (longest)`,
    ],
    ['Failed', `${probes.length - times.length} of ${probes.length} requests`],
  ];
  return html`
    <h1>Health</h1>
    <dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    <p class="note">
      This page asks <code>/ready</code> every five seconds. <code>--metrics-port</code> serves the server's own counts and times to Prometheus.
    </p>
  `;
}

function requestsIn({ last_hour: { requests, failed } }: Schemas['Server']): string {
  return `${requests.toLocaleString()}, of which ${failed.toLocaleString()} failed`;
}

function timesIn({ last_hour: { milliseconds } }: Schemas['Server']): string {
  const shown = Object.values(milliseconds).map((bound) => (bound === null ? '–' : `${bound.toLocaleString()} ms`));
  return shown.length === 0 ? '' : `${shown[0]} (half), ${shown[1]} (95 %), ${shown[2]} (99 %)`;
}

async function ask(): Promise<Probe> {
  const begin = performance.now();
  try {
    await send(null, 'GET', 'ready');
    return { milliseconds: performance.now() - begin, problem: null };
  } catch (error) {
    return { milliseconds: performance.now() - begin, problem: wordsOf(error) };
  }
}

function quantile(sorted: number[], part: number): string {
  const place = Math.min(sorted.length - 1, Math.floor(sorted.length * part));
  return `${(sorted[place] ?? 0).toFixed(1)} ms`;
}

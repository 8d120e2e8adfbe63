import { setTimeout as delay } from 'node:timers/promises';
import { E2B } from 'e2b';
import { until } from '../helpers/until.ts';
import { image } from './disk.ts';
import { runOutside } from './machine.ts';

/**
 * How long to wait for what takes some seconds where nothing else runs: runs as a whole have a
 * limit.
 */
export const slowMilliseconds = 200_000;

export const key = `e2b_${'8'.repeat(40)}`;
const controlPort = Number(process.env.TEST_MICROVM_CONTROL);
/** Sandpit's address, as seen from outside the outer machine. */
export const url = process.env.TEST_MICROVM_URL ?? '';
const flags = [
  ...['--host', '0.0.0.0', '--port', '7001', '--db', '/data/sandpit.db', '--api-key', key],
  ...['--machines', 'microvm', '--msb', '/opt/sandpit/msb', '--image', image, '--request-seconds', '300'],
];

/**
 * E2B's own class, bound to the server. Its calls wait longer than usual: machines are emulated.
 */
export const { Sandbox } = new E2B({ apiKey: key, apiUrl: url, sandboxUrl: url, requestTimeoutMs: slowMilliseconds });
export type Sandbox = InstanceType<typeof Sandbox>;

/** Runs a shell command in the outer machine. Throws an Error with its output if it fails. */
export const outside = (command: string): Promise<string> => runOutside(controlPort, command, slowMilliseconds);

/** Starts Sandpit in the outer machine and waits until it answers. */
export async function startServer(): Promise<void> {
  const serve = `/opt/sandpit/sandpit serve ${flags.join(' ')}`;
  await outside(`${serve} >>/data/server.log 2>&1 & echo $! >/run/sandpit.pid`);
  const isUp = 'busybox wget -q -O /dev/null http://127.0.0.1:7001/health';
  const hasEnded = '! kill -0 $(cat /run/sandpit.pid)';
  await outside(`until ${isUp}; do if ${hasEnded}; then tail /data/server.log; exit 1; fi; sleep 1; done 2>/dev/null`);
}

/** Starts Sandpit unless an earlier test has started it. */
export async function ensureServer(): Promise<void> {
  const runs = 'test -e /run/sandpit.pid && kill -0 $(cat /run/sandpit.pid) 2>/dev/null && echo yes || echo no';
  if ((await outside(runs)).trim() === 'no') await startServer();
}

/** Ends Sandpit as a crash does, as soon as it runs this command of `msb`. Its microVMs run on. */
export async function killServerDuring(command: string): Promise<void> {
  // The brackets keep the pattern from matching itself.
  await outside(`until pgrep -f '[m]sb ${command} ' >/dev/null; do sleep 0.05; done; kill -9 $(cat /run/sandpit.pid)`);
}

/** Returns the names of the machines that the runtime has, running or not. */
export async function machineNames(): Promise<string[]> {
  return (await outside('msb list --quiet')).split('\n').filter((name) => name !== '');
}

/** Returns the names of the snapshots that the runtime has. */
export async function snapshotNames(): Promise<string[]> {
  return (await outside('msb snapshot list --quiet')).split('\n').filter((name) => name !== '');
}

/**
 * Waits until `isTrue` returns true, but asks seldom: each question takes the time of the emulated
 * processor.
 */
export function eventually(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  return until(what, async () => (await isTrue()) || (await delay(300, false)), slowMilliseconds);
}

import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../../config/config.ts';
import type { Config } from '../../config/settings.ts';
import type { OpenLog } from '../../log/log.ts';
import type { SandpitServer } from '../../server.ts';

/**
 * Time to close the server, beyond the time that open requests get. The sum stays below systemd's
 * `TimeoutStopSec`.
 */
const closeSeconds = 8;

/** How long to wait for a slow reader of the log. */
const flushMilliseconds = 1000;

/**
 * Starts to listen; returns the URL. Throws an Error that says what to do when the address can't be
 * used.
 */
export async function listen(server: SandpitServer, { host, port }: Config): Promise<string> {
  try {
    return await server.start();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new Error(`${host}:${port} is in use: stop what listens there or choose another --port`);
    if (code === 'EACCES') throw new Error(`this user may not listen on port ${port}: choose one above 1023`);
    throw new Error(`can't listen on ${host}:${port}: ${message}`);
  }
}

/**
 * Closes the server, then writes the rest of its log. Both have a time limit, because a service
 * manager kills a process that stops too slowly. Throws an Error when the server could not be
 * closed in time.
 */
export async function shutDown(server: SandpitServer, closeLog: OpenLog['close'], stderr: Writable): Promise<void> {
  const seconds = server.context.config.shutdownSeconds + closeSeconds;
  const timer = new AbortController();
  const timeUp = delay(seconds * 1000, true, timer);
  const isLate = await Promise.race([server.close().then(() => false), timeUp]);
  timer.abort();
  if (isLate) stderr.write(`The server did not close within ${seconds} seconds; open requests are cut off.\n`);
  await closeLog(AbortSignal.timeout(flushMilliseconds));
  if (isLate) throw new Error('the server did not close in time');
}

import { once } from 'node:events';
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import type { Command } from 'commander';
import { readConfig } from '../config/config.ts';
import { urlOf } from '../http/addresses.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addSettings } from './options.ts';

const timeoutMilliseconds = 4000;

/** Serves a container's HEALTHCHECK, because the image has no curl. */
export function healthCommand(program: Command, { stdout }: Terminal): void {
  addSettings(program.command('health'), ['host', 'port', 'tlsCert'])
    .description('check that the server with these settings answers; exits with 1 if it does not')
    .option('--ready', 'check that the server is ready for requests')
    .action(async ({ ready, ...flags }) => {
      const { host: address, port, tlsCert } = readConfig(flags);
      const family = address.includes(':') ? 'IPv6' : 'IPv4';
      const url = `${urlOf(tlsCert === undefined ? 'http' : 'https', { address, family, port })}/${ready ? 'ready' : 'health'}`;
      const status = await statusOf(url);
      if (status !== 200) throw new Error(`${url} answers ${status}`);
      stdout.write(`${url} answers 200\n`);
    });
}

/**
 * Accepts any certificate: the request stays on this machine, whose address the certificate need
 * not name.
 */
async function statusOf(url: string): Promise<number | undefined> {
  const signal = AbortSignal.timeout(timeoutMilliseconds);
  const request = url.startsWith('https')
    ? getHttps(url, { signal, rejectUnauthorized: false })
    : getHttp(url, { signal });
  try {
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode;
  } catch (error) {
    throw new Error(`${url} does not answer: ${(error as Error).message}`, { cause: error });
  }
}

import { once } from 'node:events';
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import type { Command } from 'commander';
import { readConfig } from '../config/config.ts';
import { urlOf } from '../http/addresses.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addSettings } from './options.ts';

const patienceMilliseconds = 4000;

/** For a container's HEALTHCHECK: the image has no curl. */
export function healthCommand(program: Command, { stdout }: Terminal): void {
  addSettings(program.command('health'), ['host', 'port', 'tlsCert'])
    .description('ask the server of these settings whether it is well; exits with 1 when it is not')
    .option('--ready', 'ask whether requests are to be sent to it, rather than whether it answers')
    .action(async ({ ready, ...flags }) => {
      const { host: address, port, tlsCert } = readConfig(flags);
      const family = address.includes(':') ? 'IPv6' : 'IPv4';
      const url = `${urlOf(tlsCert === undefined ? 'http' : 'https', { address, family, port })}/${ready ? 'ready' : 'health'}`;
      const status = await statusOf(url);
      if (status !== 200) throw new Error(`${url} answers ${status}`);
      stdout.write(`${url} answers 200\n`);
    });
}

/** Whose certificate it is doesn't matter: it asks its own machine, which the certificate need not name. */
async function statusOf(url: string): Promise<number | undefined> {
  const signal = AbortSignal.timeout(patienceMilliseconds);
  const asked = url.startsWith('https')
    ? getHttps(url, { signal, rejectUnauthorized: false })
    : getHttp(url, { signal });
  try {
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode;
  } catch (error) {
    throw new Error(`${url} does not answer: ${(error as Error).message}`, { cause: error });
  }
}

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadContract } from '../../spec/load.ts';
import { urlOf } from '../http/addresses.ts';
import { boundConnections, maxHeaderBytes } from '../http/connections/limit.ts';
import { createForwarder } from './forward.ts';
import type { Report } from './report.ts';
import { createWatcher } from './watch.ts';

const drainSeconds = 2;
/** More than a client under test opens. */
const maxConnections = 10_000;

export type Proxy = {
  url: string;
  /** Stops listening; resolves once open requests are over, or cut off, and judged. */
  close: () => Promise<void>;
};

/** Starts a proxy before a server and resolves once it listens. Rejects with an Error when it can't. */
export async function startProxy(target: URL, host: string, port: number, report: Report): Promise<Proxy> {
  const { forward, close } = createForwarder(target);
  const { watch, settled } = createWatcher(loadContract(), report);
  // An upload may take as long as it takes, and what a request has to have is for the target to say.
  const server = createServer({ maxHeaderSize: maxHeaderBytes, requestTimeout: 0, requireHostHeader: false });
  server.on('request', (req, res) => forward(req, res, watch(req)));
  // Whether to go on is for the target to say; all else is as with other requests.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  const drain = boundConnections(server, maxConnections);
  server.listen(port, host);
  await once(server, 'listening');
  return {
    url: urlOf('http', server.address() as AddressInfo),
    close: async () => {
      await drain(drainSeconds);
      close();
      await settled();
    },
  };
}

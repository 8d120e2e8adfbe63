import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadContract } from '../../spec/load.ts';
import { urlOf } from '../http/addresses.ts';
import { ConnectionLimit, maxHeaderBytes } from '../http/connections/limit.ts';
import { createForwarder } from './forward.ts';
import type { Report } from './report.ts';
import { createWatcher } from './watch.ts';

const drainSeconds = 2;
/** More than a client under test opens. */
const maxConnections = 10_000;

export type Proxy = {
  url: string;
  /** Stops listening; resolves once open requests have ended, or were cut off, and are checked. */
  close: () => Promise<void>;
};

/** Starts a proxy in front of a server; resolves once it listens. Rejects when it can't listen. */
export async function startProxy(target: URL, host: string, port: number, report: Report): Promise<Proxy> {
  const { forward, close } = createForwarder(target);
  const { watch, settled } = createWatcher(loadContract(), report);
  // No time limit and no required headers: the target decides what it accepts.
  const server = createServer({ maxHeaderSize: maxHeaderBytes, requestTimeout: 0, requireHostHeader: false });
  server.on('request', (req, res) => forward(req, res, watch(req)));
  // The target decides whether the client may send its body.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  const connections = new ConnectionLimit(server, maxConnections);
  server.listen(port, host);
  await once(server, 'listening');
  return {
    url: urlOf('http', server.address() as AddressInfo),
    close: async () => {
      await connections.drain(drainSeconds);
      close();
      await settled();
    },
  };
}

import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { listen } from '../../helpers/listen.ts';
import { type Methods, serveMethods } from '../worker.ts';

const connections = 32;

let count = 0;
const server = createServer((req, res) => {
  req.resume().on('end', () => {
    count++;
    res.writeHead(204).end();
  });
});

const methods = {
  /** Listens; returns the port. */
  listen: () => listen(server),
  /** The number of messages received. */
  count: (): number => count,
  /** Posts messages of about an event's size in a bare loop. Returns the rate a second. */
  post: async (port: number, messages: number): Promise<number> => {
    const agent = new Agent({ keepAlive: true });
    const body = 'x'.repeat(450);
    const start = performance.now();
    let left = messages;
    const one = async () => {
      const sending = request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/' }).end(body);
      const [answer] = await once(sending, 'response');
      await once(answer.resume(), 'end');
    };
    const loop = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: connections }, loop));
    agent.destroy();
    return messages / ((performance.now() - start) / 1000);
  },
} satisfies Methods;

export type ReceiverMethods = typeof methods;

if (process.send) serveMethods(methods);

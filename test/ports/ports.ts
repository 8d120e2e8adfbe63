import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
  request,
  type Server,
} from 'node:http';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type Machine, useMachine } from '../helpers/clients/machine-client.ts';
import { listen } from '../helpers/listen.ts';

export type PortAnswer = { status: number; headers: IncomingMessage['headers']; raw: string[]; text: string };

type Ask = RequestOptions & { body?: string | Buffer };

/** A sandbox, and programs that listen in it: the process driver's machines share this loopback. */
export type Ports = {
  machine: Machine;
  /** Starts a program that speaks HTTP; resolves to its port. */
  serve: (listener: RequestListener) => Promise<number>;
  /** Starts a program that gets each connection as it is. */
  serveRaw: (serve: (socket: Socket) => void) => Promise<number>;
  /** Begins a request to a port of the sandbox, named by the host, or by headers. */
  begin: (port: number, options?: RequestOptions) => ReturnType<typeof request>;
  ask: (port: number, options?: Ask) => Promise<PortAnswer>;
};

/** Starts a machine and returns what the tests of its ports need. Programs end after each test. */
export function usePorts(config: Parameters<typeof useMachine>[0] = {}): Ports {
  const machine = useMachine(config);
  const servers: (Server | TcpServer)[] = [];
  const sockets = new Set<Socket>();
  const started = async (server: Server | TcpServer) => {
    servers.push(server);
    server.on('connection', (socket: Socket) => {
      sockets.add(socket.on('error', () => undefined));
    });
    return listen(server);
  };
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  });
  const begin: Ports['begin'] = (port, options = {}) => {
    const headers = { Host: `${port}-${machine.id}.localhost`, ...(options.headers as Record<string, string>) };
    return request(machine.url, { ...options, headers });
  };
  const ask: Ports['ask'] = async (port, { body, ...options } = {}) => {
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const sent = begin(port, {
      ...options,
      headers: { ...length, ...(options.headers as object) } as Record<string, string>,
    });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    return answerOf(answer);
  };
  return {
    machine,
    begin,
    ask,
    serve: (listener) => started(createServer(listener)),
    serveRaw: (serve) => started(createTcpServer({ allowHalfOpen: true }, serve)),
  };
}

export async function answerOf(answer: IncomingMessage): Promise<PortAnswer> {
  const text = (await buffer(answer)).toString();
  return { status: answer.statusCode ?? 0, headers: answer.headers, raw: answer.rawHeaders, text };
}

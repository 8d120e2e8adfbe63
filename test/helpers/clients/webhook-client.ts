import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { networks } from '../../../app/config/network-readers.ts';
import { apiKey, type Caller, startApp, type TestApp } from '../server.ts';

export type Message = {
  headers: Record<string, string>;
  body: string;
  payload: { type: string; data: { subject: string } };
};
type Answer = (res: ServerResponse, message: Message) => void;

/** A webhook receiver that records messages and responds as configured. */
export class Receiver {
  readonly server: Server;
  readonly messages: Message[] = [];
  answer: Answer = (res) => res.writeHead(204).end();
  #waiting: (() => void)[] = [];

  constructor() {
    this.server = createServer((req, res) => void this.#take(req, res)).listen(0, '127.0.0.1');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  /** Waits until `count` messages have arrived. */
  async received(count: number): Promise<Message[]> {
    while (this.messages.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.messages;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await text(req);
    const message = { headers: req.headers as Record<string, string>, body, payload: JSON.parse(body) };
    this.messages.push(message);
    this.answer(res, message);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Allows webhooks to loopback, which is refused by default. */
export const local = { webhookAllow: networks('127.0.0.0/8') };

export type Delivery = {
  id: string;
  kind: string;
  status: string;
  attempts: number;
  response_status: number | null;
  error: string | null;
};

/** An application, a user, a webhook receiver, and the user's calls. */
export type Hooks = ReturnType<typeof hooksOf>;

/**
 * Starts an application and a receiver on loopback for each test. Returns a function that returns
 * them.
 */
export function useHooks(): () => Hooks {
  let hooks: Hooks;
  beforeEach(async () => {
    const app = await startApp(local);
    const receiver = new Receiver();
    await once(receiver.server, 'listening');
    hooks = hooksOf(app, await app.addUser('alice'), receiver);
  });
  afterEach(() => hooks.receiver.close());
  return () => hooks;
}

function hooksOf(app: TestApp, alice: Caller, receiver: Receiver) {
  type Method = 'get' | 'post' | 'patch' | 'delete';
  const hooks = {
    app,
    alice,
    receiver,
    ask: (method: Method, path: string, body?: object, caller = alice) => {
      const call = hooks.app.http[method](path).set(apiKey(caller));
      return body === undefined ? call : call.send(body);
    },
    hook: async (body: object = {}) => {
      const { status, body: endpoint } = await hooks.ask('post', '/v1/webhooks/endpoints', {
        url: receiver.url,
        ...body,
      });
      expect(status, JSON.stringify(endpoint)).to.equal(201);
      return endpoint as { id: string; secret: string };
    },
    /** Starts a sandbox; returns its id. */
    start: async () => (await hooks.ask('post', '/v1/vms', {})).body.vm_id as string,
    deliveries: async (query = ''): Promise<Delivery[]> =>
      (await hooks.ask('get', `/v1/webhooks/deliveries?${query}`)).body.deliveries,
    /**
     * Polls until the deliveries are as wanted, because results are stored after the receiver
     * responds.
     */
    noted: async (isWanted: (all: Delivery[]) => boolean): Promise<Delivery[]> => {
      for (;;) {
        const all = await hooks.deliveries();
        if (isWanted(all)) return all;
      }
    },
  };
  return hooks;
}

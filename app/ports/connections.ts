import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';

/** Where a request goes, and how to get there. */
export type Route = {
  id: string;
  port: number;
  /** whether the program speaks TLS; its certificate is not checked: nothing leaves the machine */
  isSecure: boolean;
  dial: () => Promise<Duplex>;
};

/** Idle connections of a port that are kept, for less time than programs usually keep theirs. */
const mostIdle = 4;
const idleMilliseconds = 2000;

type Options = { route: Route };

/** Opens connections to ports for node:http's client. */
export class PortAgent extends Agent {
  readonly #timers = new WeakMap<Duplex, NodeJS.Timeout>();

  /** `keepsIdle`: whether connections are used again. */
  constructor(keepsIdle: boolean) {
    super({ keepAlive: keepsIdle, maxFreeSockets: mostIdle });
  }

  override getName(options?: object): string {
    const { id, port, isSecure } = (options as Options).route;
    return `${id} ${port} ${isSecure}`;
  }

  override createConnection(
    options: ClientRequestArgs,
    done?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | undefined {
    open((options as unknown as Options).route).then(
      (stream) => done?.(null, stream),
      (error) => done?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  /** node:http's own needs a socket of the system. */
  override keepSocketAlive(stream: Duplex): true {
    this.#timers.set(
      stream,
      setTimeout(() => stream.destroy(), idleMilliseconds),
    );
    return true;
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    clearTimeout(this.#timers.get(stream));
    super.reuseSocket(stream, request);
  }
}

async function open({ dial, isSecure }: Route): Promise<Duplex> {
  const stream = await dial();
  // As with a socket of the system: a program that closes its side of a connection ends it.
  stream.allowHalfOpen = false;
  if (!isSecure) return stream;
  const secure = connect({ socket: stream, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  secure.once('secureConnect', resolve).once('error', reject);
  await promise;
  secure.off('error', reject);
  return secure;
}

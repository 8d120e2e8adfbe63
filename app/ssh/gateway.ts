import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import ssh2, { type Connection } from 'ssh2';
import { readInstance } from '../../db/machines/instance.ts';
import { findMachine } from '../../db/machines/read.ts';
import { machineReacher } from '../api/instavm/machine/target.ts';
import { ConfigError } from '../config/config.ts';
import type { Context, Machines } from '../context.ts';
import { authenticate } from './authenticate.ts';
import { Channels } from './channels.ts';
import { Connections } from './connections.ts';
import { hostKey } from './host-key.ts';

/** A client that answers nothing any more is gone after three of these. */
const keepaliveMilliseconds = 30_000;
/** How often connections to sandboxes that have ended are closed. */
const lookMilliseconds = 30_000;

/**
 * What the server offers. Left out are key exchanges with large numbers, which take the processor
 * for long, and compression, which can.
 */
const algorithms = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
  ],
  compress: ['none'],
} as const;

/** Lets ssh and scp reach machines. */
export type SshGateway = {
  /** Listens. Rejects with ConfigError when the address can't be used. */
  listen: () => Promise<void>;
  /** Returns the address that it listens on; null unless it listens. */
  address: () => AddressInfo | null;
  /** Stops listening and ends all connections. */
  close: () => Promise<void>;
};

/**
 * Returns the gateway, which does not listen yet. A user logs in as `<sandbox id>` with one of the
 * keys that the sandbox's owner has added.
 */
export async function createSshGateway(context: Context, machines: Machines): Promise<SshGateway> {
  const { store, config, log, now } = context;
  const { tokenKey } = await readInstance(store.db);
  const connections = new Connections();
  const channels = new Channels(context, machineReacher(context, machines));
  const options = {
    hostKeys: [hostKey(tokenKey)],
    ident: 'Sandpit',
    algorithms: { ...algorithms, kex: [...algorithms.kex], compress: [...algorithms.compress] },
    keepaliveInterval: keepaliveMilliseconds,
    keepaliveCountMax: 3,
  };
  const protocol = new ssh2.Server(options, (client, { ip, port }) => {
    const socket = connections.of(ip, port);
    // A client that breaks the protocol, or leaves in the middle of it.
    client.on('error', () => socket?.destroy());
    if (socket) serve(client, socket);
  });
  const serve = (client: Connection, socket: Socket) => {
    authenticate(client, context).then(
      (login) => {
        const { sandboxId: sandbox } = login;
        if (!connections.logIn(socket, login)) return void client.end();
        log.info({ sandbox }, 'an SSH connection began');
        socket.once('close', () => log.info({ sandbox }, 'an SSH connection ended'));
        channels.serve(client, socket, login);
      },
      () => client.end(),
    );
  };
  // Answers are small: they must not wait for more.
  const server = createServer({ noDelay: true }, (socket) => {
    // What ssh2 reports of it comes as an error of the client.
    socket.on('error', () => {});
    if (connections.add(socket)) (protocol as unknown as Injectable).injectSocket(socket);
  });
  const hasEnded = async (id: string) => (await findMachine(store.db, now(), id))?.status === 'killed';
  const looking = setInterval(() => {
    connections
      .closeEnded(hasEnded)
      .catch((error) => log.error({ err: error }, 'SSH connections could not be checked'));
  }, lookMilliseconds);
  looking.unref();
  const { host, sshPort } = config;
  return {
    listen: async () => {
      server.listen(sshPort, host);
      await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
        const reason = error.code === 'EADDRINUSE' ? 'it is in use' : error.message;
        throw new ConfigError(`can't offer SSH on ${host}:${sshPort}: ${reason}`);
      });
    },
    address: () => (server.listening ? (server.address() as AddressInfo) : null),
    close: async () => {
      clearInterval(looking);
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      connections.end();
      await closed;
    },
  };
}

/** A method that @types/ssh2 does not know. */
type Injectable = { injectSocket: (socket: Socket) => void };

import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AcceptConnection, Connection, RejectConnection, ServerChannel, TcpipRequestInfo } from 'ssh2';
import { listSshKeys } from '../../db/accounts/ssh-keys.ts';
import type { MachineTarget } from '../api/instavm/machine/target.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';
import { dropSession, limitUnread, takesPackets } from '../internals/ssh2.ts';
import { dial } from '../machines/agent/dial.ts';
import type { Login } from './authenticate.ts';
import type { Opened } from './opened.ts';
import { serveSession } from './session.ts';
import { type Outlet, write } from './write.ts';

/** How many channels one connection may open at once. */
const maxChannels = 64;
/** How long a program may take to accept a connection. */
const dialMilliseconds = 10_000;
/** Where `ssh -L` may lead: to the machine itself. */
const ownNames = ['localhost', '127.0.0.1', '::1'];

/** Serves what clients that have logged in ask for. */
export class Channels {
  readonly #context: Pick<Context, 'store' | 'log'>;
  readonly #reach: (ownerId: number, id: string) => Promise<MachineTarget>;

  constructor(context: Pick<Context, 'store' | 'log'>, reach: (ownerId: number, id: string) => Promise<MachineTarget>) {
    this.#context = context;
    this.#reach = reach;
  }

  serve(client: Connection, socket: Socket, login: Login): void {
    const ended = new AbortController();
    socket.once('close', () => ended.abort());
    const opened = { socket, gone: ended.signal, reach: () => this.#machineOf(login) };
    let open = 0;
    const admit = (reject: RejectConnection): boolean => {
      if (open < maxChannels) return true;
      reject();
      return false;
    };
    client.on('session', (accept, reject) => {
      if (!admit(reject)) return;
      open++;
      const session = accept();
      session.once('close', () => {
        open--;
        dropSession(client, session);
      });
      if (takesPackets(session)) serveSession(session, opened, this.#context.log);
      else socket.destroy();
    });
    client.on('tcpip', (accept, reject, info) => {
      if (!admit(reject)) return;
      open++;
      forward(accept, reject, info, opened)
        .catch(() => reject())
        .finally(() => open--);
    });
  }

  /** A key that was deleted opens nothing more. */
  async #machineOf({ ownerId, sandboxId, keyId }: Login): Promise<MachineTarget> {
    const keys = await listSshKeys(this.#context.store.db, ownerId);
    if (!keys.some(({ id }) => id === keyId)) throw new HttpError(403, 'This SSH key was deleted');
    return this.#reach(ownerId, sandboxId);
  }
}

/** Joins a channel and a port of the machine until both have ended. Throws if it is not open. */
async function forward(
  accept: AcceptConnection<ServerChannel>,
  reject: RejectConnection,
  { destIP, destPort }: TcpipRequestInfo,
  { socket, gone, reach }: Opened,
): Promise<void> {
  if (!ownNames.includes(destIP)) return reject();
  const agent = await (await reach()).agent();
  const program = await dial(agent, destPort, AbortSignal.any([gone, AbortSignal.timeout(dialMilliseconds)]));
  program.on('error', () => {});
  const channel = accept();
  if (!channel || !takesPackets(channel)) {
    program.destroy();
    return void socket.destroy();
  }
  limitUnread(channel, () => socket.destroy());
  const left = () => void program.destroy();
  gone.addEventListener('abort', left);
  await Promise.allSettled([answer(program, { channel, socket, ended: gone }), ask(channel, program, gone)]);
  gone.removeEventListener('abort', left);
  program.destroy();
  channel.close();
}

/** Sends what a program says to the client. */
async function answer(program: Duplex, outlet: Outlet): Promise<void> {
  for await (const bytes of program) await write(outlet, outlet.channel, bytes);
  outlet.channel.end();
}

/** Sends what a client says to the program. */
async function ask(channel: ServerChannel, program: Duplex, gone: AbortSignal): Promise<void> {
  for await (const bytes of channel.iterator({ destroyOnReturn: false })) {
    if (!program.write(bytes)) await once(program, 'drain', { signal: gone });
  }
  program.end();
}

import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';
import { forgetWritten } from '../internals/ssh2.ts';
import { untilAborted } from '../machines/until-aborted.ts';

/** Where to write: the channel itself or its standard error, and the connection below. */
export type Outlet = { channel: ServerChannel; socket: Socket; ended: AbortSignal };

/**
 * Resolves once the client's window and the connection have taken the bytes. Call it again only
 * then. Rejects when the client has left.
 */
export async function write({ channel, socket, ended }: Outlet, stream: Writable, bytes: Buffer): Promise<void> {
  forgetWritten(channel);
  const taken = new Promise<void>((resolve) => stream.write(bytes, () => resolve()));
  await untilAborted(taken, ended);
  if (socket.writableNeedDrain) await once(socket, 'drain', { signal: ended });
}

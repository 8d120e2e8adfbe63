import type { Readable } from 'node:stream';
import type { Connection, ServerChannel, Session, SFTPWrapper } from 'ssh2';

type Side = { id: number; packetSize: number; state: string };
type Protocol = {
  channelClose: (id: number) => void;
  channelWindowAdjust: (id: number, bytes: number) => void;
  channelExtData: (id: number, bytes: Buffer, type: number) => void;
  exitStatus: (id: number, status: number) => void;
};
type ClientInternals = { _protocol: Protocol; _chanMgr: { remove: (id: number) => void } };
type SessionInternals = { _channel?: object; _chanInfo: { incoming: Side; outgoing: Side } };
type SftpInternals = {
  _protocol: Protocol;
  outgoing: Side;
  incoming: { window: number };
  _buffer: unknown[];
  _waitChanDrain: boolean;
  push: (bytes: Buffer | null) => unknown;
};
type Waiting = '_chunk' | '_chunkcb' | '_chunkErr' | '_chunkcbErr';

/** What ssh2 lets a client send on a channel. */
const windowBytes = 2 * 2 ** 20;
/** What ssh2 lets a client send before its reader has read, and as much again for good measure. */
const maxUnread = 2 * windowBytes;
/** Clients accept packets of 32 KiB. */
const minPacketBytes = 1024;
/** Standard error in SSH (RFC 4254, section 5.2). */
const standardError = 1;

/**
 * Returns whether a client takes packets of a useful size: with 0 ssh2 never ends a write, and very
 * small ones take long.
 */
export function takesPackets(opened: Session | ServerChannel): boolean {
  const { _chanInfo: info, outgoing = info?.outgoing } = opened as unknown as SessionInternals & { outgoing?: Side };
  return (outgoing?.packetSize ?? 0) >= minPacketBytes;
}

/**
 * Calls `cut` when a client has sent much more than the window of its channel allows: ssh2 keeps
 * it in memory.
 */
export function limitUnread(channel: Readable, cut: () => void): void {
  const push = channel.push.bind(channel);
  channel.push = (bytes, encoding) => {
    const isTaken = push(bytes, encoding);
    if (channel.readableLength > maxUnread) cut();
    return isTaken;
  };
}

/**
 * Forgets what a channel has written: ssh2 would write it again when output and errors wait for
 * room in turn. Call it before each write, while none is under way.
 */
export function forgetWritten(channel: ServerChannel): void {
  const waiting: Waiting[] = ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr'];
  for (const name of waiting) (channel as unknown as Record<Waiting, undefined>)[name] = undefined;
}

/** Forgets a session that its client has closed before it asked for anything: ssh2 keeps it. */
export function dropSession(client: Connection, session: Session): void {
  const { _protocol, _chanMgr } = client as unknown as ClientInternals;
  const { _channel, _chanInfo } = session as unknown as SessionInternals;
  if (_channel) return;
  _chanMgr.remove(_chanInfo.incoming.id);
  _protocol.channelClose(_chanInfo.outgoing.id);
}

/**
 * Lets a client send no more on a channel of SFTP than its window still allows while `isFull`. The
 * rest of the connection goes on. Returns a function to call when there may be room again.
 */
export function holdBack(sftp: SFTPWrapper, isFull: () => boolean): () => void {
  const channel = sftp as unknown as SftpInternals;
  const push = channel.push.bind(channel);
  channel.push = (bytes) => {
    push(bytes);
    return !isFull();
  };
  return () => {
    if (!channel._waitChanDrain || isFull()) return;
    channel._waitChanDrain = false;
    const used = windowBytes - channel.incoming.window;
    channel.incoming.window = windowBytes;
    if (used > 0) channel._protocol.channelWindowAdjust(channel.outgoing.id, used);
  };
}

/** Returns whether a client has taken all answers that fit into its window. */
export function hasRoom(sftp: SFTPWrapper): boolean {
  return (sftp as unknown as SftpInternals)._buffer.length === 0;
}

/**
 * Ends a channel of SFTP as the end of a program, which OpenSSH's clients take it for. A problem is
 * written to standard error, because they show their user nothing else than the number of an error.
 */
export function endSftp(sftp: SFTPWrapper, problem?: string): void {
  const { _protocol, outgoing } = sftp as unknown as SftpInternals;
  if (outgoing.state !== 'open') return;
  if (problem !== undefined) _protocol.channelExtData(outgoing.id, Buffer.from(`${problem}\n`), standardError);
  _protocol.exitStatus(outgoing.id, problem === undefined ? 0 : 1);
  sftp.end();
}

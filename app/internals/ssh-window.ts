import type { Readable } from 'node:stream';

/** What ssh2 lets a client send before its reader has read, and as much again for good measure. */
const maxUnread = 4 * 2 ** 20;

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

import type { Socket } from 'node:net';
import type { MachineTarget } from '../api/instavm/machine/target.ts';

/** What a channel needs of its connection. */
export type Opened = {
  socket: Socket;
  /** aborts when the connection has ended */
  gone: AbortSignal;
  /** Returns the sandbox's machine. Throws HttpError in words. */
  reach: () => Promise<MachineTarget>;
};

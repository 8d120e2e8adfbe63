import type { IncomingMessage } from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import type { Response } from 'express';
import { markForwarded, upgradeOf } from '../http/forwarded.ts';
import { answerHeaders } from './headers.ts';

/**
 * Answers that the protocol changes, as the program did, and joins both connections. Throws an
 * Error if the client did not ask for it.
 */
export function joinStreams(answer: IncomingMessage, program: Duplex, head: Buffer, res: Response): void {
  const client = upgradeOf(res);
  if (client === undefined) throw new Error('the program changed to a protocol that nobody asked for');
  const { statusMessage = '', rawHeaders, headers } = answer;
  markForwarded(res);
  res.writeHead(101, statusMessage, answerHeaders(rawHeaders, headers.connection, headers.upgrade));
  res.end();
  // From here on either side may end before the other.
  program.allowHalfOpen = true;
  const { socket } = client;
  if (head.length > 0) socket.write(head);
  if (client.head.length > 0) program.write(client.head);
  pipeline(socket, program, socket, () => {
    socket.destroy();
    program.destroy();
  });
}

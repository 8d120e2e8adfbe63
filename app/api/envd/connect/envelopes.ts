import type { IncomingMessage } from 'node:http';
import { maxBodyBytes } from '../../../contract/body/bytes.ts';
import { ConnectError } from '../../../http/connect.ts';

const headBytes = 5;

/**
 * Returns the JSON in the only message of a stream's request. Throws ConnectError if the body has
 * another form.
 */
export function onlyMessage(body: Buffer): Buffer {
  const length = messageLength(body);
  if (body.length !== headBytes + length) {
    throw new ConnectError('invalid_argument', 'The body has to be one message: 5 bytes and as much JSON as they say');
  }
  return body.subarray(headBytes);
}

/**
 * Yields the JSON of each message of a request, one at a time, so that a sender that is faster than
 * the loop waits. Throws ConnectError for a message that is too long or incomplete. Leaving the
 * loop early leaves the connection open, so that the client can read its answer.
 */
export async function* messagesOf(req: IncomingMessage): AsyncGenerator<Buffer> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= headBytes) {
      const end = headBytes + messageLength(pending);
      if (pending.length < end) break;
      yield pending.subarray(headBytes, end);
      pending = pending.subarray(end);
    }
  }
  if (pending.length > 0) throw new ConnectError('invalid_argument', 'The last message is incomplete');
}

/** Returns the length of the JSON in the message with which `bytes` begin. */
function messageLength(bytes: Buffer): number {
  if (bytes.length < headBytes) throw new ConnectError('invalid_argument', 'The request has no message');
  if (bytes[0] !== 0) {
    throw new ConnectError('unimplemented', 'Messages can not be compressed: leave out Connect-Content-Encoding');
  }
  const length = bytes.readUInt32BE(1);
  if (length > maxBodyBytes) {
    throw new ConnectError('resource_exhausted', `A message has at most ${maxBodyBytes} bytes, not ${length}`);
  }
  return length;
}

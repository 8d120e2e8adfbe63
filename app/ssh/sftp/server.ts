import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { type MachineTarget, placeOf } from '../../api/instavm/machine/target.ts';
import { endSftp, hasRoom, holdBack } from '../../internals/ssh2.ts';
import { AgentError } from '../../machines/agent/error.ts';
import { attributesOf, listed } from './attributes.ts';
import { Files } from './files.ts';
import { Refused } from './refused.ts';

const { STATUS_CODE: codes } = ssh2.utils.sftp;

/** At how many requests, or bytes of them, that wait for an answer the client gets no more room. */
const limits = { requests: 4096, bytes: 2 ** 24 };
/** More than the window of a channel holds comes from a client that ignores it. */
const mostRequests = 131_072;
/** How often to look whether a client has taken what was sent: ssh2 does not tell. */
const lookMilliseconds = 5;

/** What answers a request besides its id. */
type Answer = (sftp: SFTPWrapper, id: number) => unknown;
type Handler = (files: Files, ...rest: never[]) => Promise<Answer>;

const ok: Answer = (sftp, id) => sftp.status(id, codes.OK);
const end: Answer = (sftp, id) => sftp.status(id, codes.EOF);
const name =
  (path: string): Answer =>
  (sftp, id) =>
    sftp.name(id, [{ filename: path, longname: path, attrs: {} as never }]);

/** The requests of SFTP version 3, by the names that ssh2 has for them. */
const handlers: Record<string, Handler> = {
  OPEN: async (files, path: string, flags: number, attributes: object) => {
    const handle = await files.open(path, flags, attributes);
    return (sftp, id) => sftp.handle(id, handle);
  },
  READ: async (files, handle: Buffer, offset: number, length: number) => {
    const bytes = await files.read(handle, offset, length);
    return bytes.length === 0 ? end : (sftp, id) => sftp.data(id, bytes);
  },
  WRITE: (files, handle: Buffer, offset: number, bytes: Buffer) => files.write(handle, offset, bytes).then(() => ok),
  CLOSE: (files, handle: Buffer) => files.close(handle).then(() => ok),
  FSTAT: async (files, handle: Buffer) => {
    const entry = await files.statOpen(handle);
    return (sftp, id) => sftp.attrs(id, attributesOf(entry, 'followed'));
  },
  STAT: async (files, path: string) => {
    const entry = await files.stat(path);
    return (sftp, id) => sftp.attrs(id, attributesOf(entry, 'followed'));
  },
  LSTAT: async (files, path: string) => {
    const entry = await files.linkStat(path);
    return (sftp, id) => sftp.attrs(id, attributesOf(entry, 'itself'));
  },
  SETSTAT: (files, path: string, attributes: object) => files.change(path, attributes).then(() => ok),
  FSETSTAT: (files, handle: Buffer, attributes: object) => files.changeOpen(handle, attributes).then(() => ok),
  OPENDIR: async (files, path: string) => {
    const handle = await files.openDirectory(path);
    return (sftp, id) => sftp.handle(id, handle);
  },
  READDIR: async (files, handle: Buffer) => {
    const entries = files.nextEntries(handle);
    return entries.length === 0 ? end : (sftp, id) => sftp.name(id, entries.map(listed));
  },
  REMOVE: (files, path: string) => files.run(['rm', '--', files.resolve(path)]).then(() => ok),
  MKDIR: (files, path: string) => files.run(['mkdir', '--', files.resolve(path)]).then(() => ok),
  RMDIR: (files, path: string) => files.run(['rmdir', '--', files.resolve(path)]).then(() => ok),
  RENAME: (files, from: string, to: string) => files.rename(from, to).then(() => ok),
  REALPATH: async (files, path: string) => name(files.resolve(path)),
  READLINK: async (files, path: string) => name(await files.run(['readlink', '--', files.resolve(path)])),
  SYMLINK: (files, path: string, target: string) =>
    files.run(['ln', '-s', '--', target, files.resolve(path)]).then(() => ok),
};

type Parts = { socket: Socket; ended: AbortSignal; reach: () => Promise<MachineTarget> };

/**
 * Serves the files of a machine: SFTP, which `scp` and `sftp` speak. Requests are answered in
 * order, one after another.
 */
export function serveSftp(sftp: SFTPWrapper, { socket, ended, reach }: Parts): void {
  const opening = reach().then(async (target) => Files.open(await target.agent(), placeOf(target).user, ended));
  opening.catch((error) => {
    if (!ended.aborted) endSftp(sftp, messageOf(error));
  });
  const waiting = { requests: 0, bytes: 0 };
  let last = Promise.resolve();
  const answer = async (handle: (files: Files) => Promise<Answer>, id: number) => {
    if (ended.aborted) return;
    const given = await opening.then(handle).catch(failure);
    // What ssh2 writes waits in the memory of this process.
    if (socket.writableNeedDrain) await once(socket, 'drain', { signal: ended });
    while (!hasRoom(sftp)) await delay(lookMilliseconds, undefined, { signal: ended });
    given(sftp, id);
  };
  const giveRoom = holdBack(sftp, () => waiting.requests > limits.requests || waiting.bytes > limits.bytes);
  for (const [request, handler] of Object.entries(handlers)) {
    sftp.on(request as 'OPEN', (id: number, ...rest: unknown[]) => {
      const size = rest.reduce<number>((sum, each) => sum + (Buffer.isBuffer(each) ? each.length : 0), 0);
      waiting.requests++;
      waiting.bytes += size;
      if (waiting.requests > mostRequests || waiting.bytes > 2 * limits.bytes) socket.destroy();
      last = last
        .then(() => answer((files) => handler(files, ...(rest as never[])), id))
        // The client has left.
        .catch(() => {})
        .then(() => {
          waiting.requests--;
          waiting.bytes -= size;
          giveRoom();
        });
    });
  }
  // The client has no more requests, and waits for the end of the channel.
  sftp.once('end', () => void last.then(() => endSftp(sftp)));
  ended.addEventListener('abort', () => opening.then((files) => files.closeAll()).catch(() => {}));
}

/** Returns the answer for an error. */
function failure(error: unknown): Answer {
  const code = codeOf(error);
  return (sftp, id) => sftp.status(id, code, messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): number {
  if (error instanceof Refused) return error.isUnsupported ? codes.OP_UNSUPPORTED : codes.FAILURE;
  if (!(error instanceof AgentError)) return codes.FAILURE;
  if (error.code === 'not_found') return codes.NO_SUCH_FILE;
  return error.code === 'permission_denied' ? codes.PERMISSION_DENIED : codes.FAILURE;
}

import type { SFTPWrapper } from 'ssh2';

type Internals = {
  _protocol: {
    channelExtData: (id: number, bytes: Buffer, type: number) => void;
    exitStatus: (id: number, status: number) => void;
  };
  outgoing: { id: number; state: string };
};

/** Standard error in SSH (RFC 4254, section 5.2). */
const standardError = 1;

/**
 * Ends a channel of SFTP as the end of a program, which OpenSSH's clients take it for. A problem is
 * written to standard error, because they show their user nothing else than the number of an error.
 */
export function endSftp(sftp: SFTPWrapper, problem?: string): void {
  const { _protocol, outgoing } = sftp as unknown as Internals;
  if (outgoing.state !== 'open') return;
  if (problem !== undefined) _protocol.channelExtData(outgoing.id, Buffer.from(`${problem}\n`), standardError);
  _protocol.exitStatus(outgoing.id, problem === undefined ? 0 : 1);
  sftp.end();
}

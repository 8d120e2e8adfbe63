import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Config } from '../../config/settings.ts';

/** A certificate or key that can't be used; the message names the file. */
export class CertificateError extends Error {
  override name = 'CertificateError';
}

/**
 * Returns what the configured certificate and key say, or null where none is configured. Throws CertificateError when
 * one is missing, a file can't be read or the two don't fit.
 */
export function readCertificate({ tlsCert, tlsKey }: Config): SecureContextOptions | null {
  if (tlsCert === undefined && tlsKey === undefined) return null;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new CertificateError('a certificate and its key go together: give both --tls-cert and --tls-key, or neither');
  }
  const options = { cert: read(tlsCert), key: read(tlsKey), minVersion: 'TLSv1.2' as const };
  try {
    createSecureContext(options);
  } catch (error) {
    const reason = (error as Error).message;
    throw new CertificateError(`can't use the certificate ${tlsCert} with the key ${tlsKey}: ${reason}`, {
      cause: error,
    });
  }
  return options;
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CertificateError(`can't read ${file}: ${(error as Error).message}`, { cause: error });
  }
}

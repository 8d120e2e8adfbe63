import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Config } from '../../config/settings.ts';

/** A certificate or key that cannot be used. The message names the file. */
export class CertificateError extends Error {
  override name = 'CertificateError';
}

/**
 * Returns the configured certificate and key; null if neither is configured. Throws
 * CertificateError if one of the two is missing, a file cannot be read, or they do not belong
 * together.
 */
export function readCertificate({ tlsCert, tlsKey }: Config): SecureContextOptions | null {
  if (tlsCert === undefined && tlsKey === undefined) return null;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new CertificateError('a certificate needs its key: give both --tls-cert and --tls-key, or neither');
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

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { temporaryDirectory } from './server.ts';

export type CertificateFiles = { cert: string; key: string; pem: string };

/**
 * Writes a self-signed certificate for localhost and 127.0.0.1, and its key. A client must trust
 * `pem`.
 */
export async function makeCertificate(dir = temporaryDirectory()): Promise<CertificateFiles> {
  const names = [
    { type: 2 as const, value: 'localhost' },
    { type: 7 as const, ip: '127.0.0.1' },
  ];
  const extensions = [{ name: 'subjectAltName' as const, altNames: names }];
  const made = await generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec', extensions });
  const files = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem'), pem: made.cert };
  writeFileSync(files.cert, made.cert);
  writeFileSync(files.key, made.private, { mode: 0o600 });
  return files;
}

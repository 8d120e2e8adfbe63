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

/**
 * Writes a certificate for a domain and every name below it, signed by a CA. `ca` is what clients
 * trust.
 */
export async function makeDomainCertificate(domain: string): Promise<CertificateFiles & { ca: string }> {
  const dir = temporaryDirectory();
  const authority = await generate([{ name: 'commonName', value: 'Test CA' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const altNames = [domain, `*.${domain}`].map((value) => ({ type: 2 as const, value }));
  const made = await generate([{ name: 'commonName', value: domain }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames },
    ],
  });
  const files = {
    cert: join(dir, 'cert.pem'),
    key: join(dir, 'key.pem'),
    ca: join(dir, 'ca.pem'),
    pem: authority.cert,
  };
  writeFileSync(files.cert, made.cert);
  writeFileSync(files.key, made.private, { mode: 0o600 });
  writeFileSync(files.ca, authority.cert);
  return files;
}

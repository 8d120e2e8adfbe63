import { createHmac, createPrivateKey, createPublicKey } from 'node:crypto';

/** What comes before the 32 bytes of a private Ed25519 key in PKCS #8 (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const type = Buffer.from('ssh-ed25519');

/**
 * Returns the private key by which clients recognize this server, as OpenSSH writes it to a file.
 * It is derived from the key of the database, so that it stays the same after a restart.
 */
export function hostKey(databaseKey: Buffer): string {
  const seed = createHmac('sha256', databaseKey).update('ssh host key').digest();
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const publicKey = Buffer.from(x, 'base64url');
  const publicPart = Buffer.concat([field(type), field(publicKey)]);
  const noComment = field(Buffer.alloc(0));
  // Two equal numbers show that the rest was decrypted well. Here nothing is encrypted.
  const check = Buffer.alloc(8);
  const secret = Buffer.concat([check, publicPart, field(Buffer.concat([seed, publicKey])), noComment]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, n) => n + 1));
  const none = field(Buffer.from('none'));
  const count = Buffer.from([0, 0, 0, 1]);
  const head = [Buffer.from('openssh-key-v1\0'), none, none, field(Buffer.alloc(0)), count];
  const text = Buffer.concat([...head, field(publicPart), field(Buffer.concat([secret, padding]))]).toString('base64');
  const lines = text.match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}

/** Returns bytes after their length, as SSH writes them (RFC 4251, section 5). */
function field(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

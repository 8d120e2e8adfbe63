import { isIP } from 'node:net';
import { type AllowedNetworks, readNetworks } from '../http/addresses.ts';
import { integer, type Setting, text } from './readers.ts';

export type NetworkConfig = {
  tlsCert: string | undefined;
  tlsKey: string | undefined;
  corsOrigins: string[] | undefined;
  /** As express's `trust proxy` takes it. */
  trustProxy: number | string[] | false;
  rateLimit: Rate | undefined;
  maxConcurrent: number;
  maxConnections: number;
  requestSeconds: number;
  webhookAllow: AllowedNetworks | undefined;
};

/** So many requests in so many milliseconds. */
export type Rate = { count: number; milliseconds: number };

/** The settings that matter once others reach the server. */
export const networkSettings: { [K in keyof NetworkConfig]: Setting<NetworkConfig[K]> } = {
  tlsCert: {
    variable: 'SANDPIT_TLS_CERT',
    flag: 'tls-cert',
    argument: 'file',
    help: 'certificate and chain in PEM: answers HTTPS; read again on SIGHUP',
    fallback: undefined,
    read: text,
  },
  tlsKey: {
    variable: 'SANDPIT_TLS_KEY',
    flag: 'tls-key',
    argument: 'file',
    help: 'the private key of the certificate in PEM, without a passphrase',
    fallback: undefined,
    read: text,
  },
  corsOrigins: {
    variable: 'SANDPIT_CORS_ORIGINS',
    flag: 'cors-origins',
    argument: 'origins',
    help: 'origins whose pages may call, with commas between them, or *; none unless given',
    fallback: undefined,
    read: (value) => listOf(value, isOrigin, 'origins such as https://app.example.com with commas between them, or *'),
  },
  trustProxy: {
    variable: 'SANDPIT_TRUST_PROXY',
    flag: 'trust-proxy',
    argument: 'proxies',
    help: "whose X-Forwarded-For tells the client's address: how many proxies, or their addresses; nobody's unless given",
    fallback: false,
    read: proxies,
  },
  rateLimit: {
    variable: 'SANDPIT_RATE_LIMIT',
    flag: 'rate-limit',
    argument: 'rate',
    help: 'requests for each API key or user: 50/s or 600/m, say; as many for each address without; no limit unless given',
    fallback: undefined,
    read: rate,
  },
  maxConcurrent: {
    variable: 'SANDPIT_MAX_CONCURRENT',
    flag: 'max-concurrent',
    argument: 'number',
    help: 'requests under way at a time; the next is answered 503',
    fallback: 1024,
    read: integer(1, 100_000),
  },
  maxConnections: {
    variable: 'SANDPIT_MAX_CONNECTIONS',
    flag: 'max-connections',
    argument: 'number',
    help: 'open connections; for one more, the one that has asked nothing for the longest is closed',
    fallback: 8192,
    read: integer(1, 1_000_000),
  },
  requestSeconds: {
    variable: 'SANDPIT_REQUEST_SECONDS',
    flag: 'request-seconds',
    argument: 'seconds',
    help: 'how long a request may take to arrive, its headers 10 at most',
    fallback: 30,
    read: integer(1, 3600),
  },
  webhookAllow: {
    variable: 'SANDPIT_WEBHOOK_ALLOW',
    flag: 'webhook-allow',
    argument: 'networks',
    help: 'networks that are not public and that webhooks may be sent to all the same: 127.0.0.0/8,10.1.2.3, say',
    fallback: undefined,
    read: readNetworks,
  },
};

function listOf(value: string, isAllowed: (entry: string) => boolean, allowed: string): string[] {
  const entries = value.split(',').map((entry) => entry.trim());
  const wrong = entries.find((entry) => !isAllowed(entry));
  if (wrong === undefined) return entries;
  throw new Error(`must be ${allowed}, not '${wrong}'`);
}

function isOrigin(entry: string): boolean {
  return entry === '*' || (/^https?:/.test(entry) && URL.canParse(entry) && new URL(entry).origin === entry);
}

/** To trust everybody would let everybody choose an address, so there is no word for it. */
function proxies(value: string): NetworkConfig['trustProxy'] {
  if (value === 'false') return false;
  if (/^[1-9]\d?$/.test(value)) return Number(value);
  return listOf(value, isNetwork, 'a number of proxies, or addresses and networks such as 10.0.0.0/8, or loopback');
}

function isNetwork(entry: string): boolean {
  if (/^(loopback|linklocal|uniquelocal)$/.test(entry)) return true;
  const [address = '', bits, ...rest] = entry.split('/');
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return rest.length === 0 && (bits === undefined ? longest > 0 : /^\d+$/.test(bits) && Number(bits) <= longest);
}

function rate(value: string): Rate {
  const [, digits, unit] = /^(\d{1,7})\/([sm])$/.exec(value) ?? [];
  const count = Number(digits);
  if (count > 0) return { count, milliseconds: unit === 's' ? 1000 : 60_000 };
  throw new Error(`must be a whole number above 0 with /s or /m behind it, not '${value}'`);
}

import { createSocket, type RemoteInfo } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { expect } from 'chai';
import { networks } from '../../app/config/network-readers.ts';
import { AddressRefused, guardedLookup } from '../../app/webhooks/request/address.ts';
import { itHere } from '../helpers/server.ts';

/** Returns the response to a DNS query (RFC 1035, 4.1): this IPv4 address, or NXDOMAIN. */
function answerTo(query: Buffer, address: string | null): Buffer {
  const endOfName = query.indexOf(0, 12);
  const isForIpv4 = query.readUInt16BE(endOfName + 1) === 1;
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(address === null ? 0x8183 : 0x8180, 2);
  head.writeUInt16BE(address !== null && isForIpv4 ? 1 : 0, 6);
  head.fill(0, 8);
  const question = query.subarray(12, endOfName + 5);
  if (address === null || !isForIpv4) return Buffer.concat([head, question]);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([head, question, record]);
}

/** Returns the first label of the queried name. */
function labelIn(query: Buffer): string {
  return query.toString('latin1', 13, 13 + query.readUInt8(12));
}

describe('name resolution for webhooks', () => {
  const server = createSocket('udp4');
  const servers = new Resolver({ timeout: 60_000, tries: 1 });
  const asked: string[] = [];
  let hanging = 0;
  before(async () => {
    server.on('message', (query: Buffer, { port }: RemoteInfo) => {
      const label = labelIn(query);
      asked.push(label);
      if (label === 'hangs') hanging++;
      else server.send(answerTo(query, label === 'unknown' ? null : '127.0.0.9'), port, '127.0.0.1');
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    servers.setServers([`127.0.0.1:${server.address().port}`]);
  });
  after(() => {
    servers.cancel();
    server.close();
  });

  const lookUp = (name: string, allowed = networks('127.0.0.0/8,::1')) =>
    new Promise<unknown>((resolve) =>
      guardedLookup(allowed, servers)(name, { all: true }, (error, found) => resolve(error ?? found)),
    );

  itHere('unresponsive name servers delay no other delivery', async () => {
    for (let n = 0; n < 100; n++) void lookUp('hangs.example.com');
    while (hanging < 100) await new Promise((resolve) => setImmediate(resolve));
    expect(await lookUp('answers.example.com')).to.deep.equal([{ address: '127.0.0.9', family: 4 }]);
    expect(await lookUp('localhost'), 'what only the machine knows').to.be.an('array');
  });

  itHere('refuses a name that resolves to a private address', async () => {
    expect(await lookUp('answers.example.com', [])).to.be.instanceOf(AddressRefused);
    expect(await lookUp('localhost', [])).to.be.instanceOf(AddressRefused);
  });

  itHere('falls back to the system resolver for names that the name servers do not know', async () => {
    expect(await lookUp('unknown.localhost')).to.satisfy(
      (found: Error | unknown[]) => Array.isArray(found) || 'code' in found,
    );
    expect(asked).to.include('unknown');
    expect(asked).not.to.include('localhost');
  });
});

import { spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { type CertificateFiles, makeCertificate } from '../helpers/certificate.ts';
import { type Serving, sandpit, serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const key = `e2b_${'7'.repeat(40)}`;

describe('TLS', () => {
  let dir: string;
  let files: CertificateFiles;
  let server: Serving;
  beforeEach(async () => {
    dir = temporaryDirectory();
    files = await makeCertificate(dir);
    const flags = ['--tls-cert', files.cert, '--tls-key', files.key, '--db', join(dir, 'sandpit.db')];
    server = await serve(flags, { env: { SANDPIT_API_KEY: key } });
  });
  afterEach(() => server.stop());

  const handshake = async (options: { maxVersion?: SecureVersion } = {}): Promise<TLSSocket> => {
    const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', ca: files.pem, ...options });
    await once(socket, 'secureConnect');
    return socket;
  };
  const shown = async () => {
    const socket = await handshake();
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const said = (words: string) =>
    new Promise<void>((resolve) => {
      const look = setInterval(() => {
        if (!server.output.stderr.includes(words)) return;
        clearInterval(look);
        resolve();
      }, 10);
    });

  it('answers node and curl over HTTPS, and sends Strict-Transport-Security', async () => {
    expect(server.url).to.match(/^https:/);
    const options = { ca: files.pem, headers: { 'X-API-Key': key } };
    const [response] = await once(get(`${server.url}/v1/sessions/sandboxes`, options), 'response');
    expect([response.statusCode, await json(response)]).to.deep.equal([200, []]);
    expect(response.headers['strict-transport-security']).to.equal('max-age=31536000');
    if (spawnSync('curl', ['--version']).status !== 0) return;
    const curl = spawn('curl', ['-sS', '--cacert', files.cert, '-H', `X-API-Key: ${key}`, `${server.url}/health`]);
    expect(JSON.parse(await text(curl.stdout))).to.include({ status: 'ok' });
  });

  it('accepts TLS 1.2 or newer, and no plain HTTP', async () => {
    (await handshake({ maxVersion: 'TLSv1.2' })).destroy();
    const old = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', maxVersion: 'TLSv1.1' });
    const [error] = await once(old, 'error');
    expect(error.code).to.match(/PROTOCOL|VERSION/);
    const plain = connectPlain(Number(new URL(server.url).port), '127.0.0.1');
    plain.end('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await text(plain)).not.to.contain('"status":"ok"');
  });

  it('SIGHUP loads a renewed certificate, and keeps the old one if the new one is invalid', async () => {
    const before = await shown();
    writeFileSync(files.cert, 'no certificate');
    server.signal('SIGHUP');
    await said('The old certificate stays in use: ');
    expect(await shown()).to.equal(before);
    const open = await handshake();
    files = await makeCertificate(dir);
    server.signal('SIGHUP');
    await said(`Reloaded ${files.cert}.`);
    expect(await shown())
      .to.equal(new X509Certificate(files.pem).fingerprint256)
      .and.not.to.equal(before);
    open.write('GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(await text(open)).to.contain('"status":"ok"');
  });

  it('stops at once despite an idle connection, as without TLS', async () => {
    const [silent, raw] = [await handshake(), connectPlain(Number(new URL(server.url).port), '127.0.0.1')];
    await once(raw, 'connect');
    const closed = Promise.all([once(silent.resume(), 'close'), once(raw.resume(), 'close')]);
    expect(await server.stop()).to.equal(0);
    await closed;
  }).timeout(4000);
});

describe('serve with an invalid certificate', () => {
  it('refuses to start, names the file and creates no database', async () => {
    const { cert, key: keyFile } = await makeCertificate();
    const { key: otherKey } = await makeCertificate();
    const db = join(temporaryDirectory(), 'sandpit.db');
    const fails = async (...flags: string[]) => (await sandpit(['serve', '--db', db, ...flags])).stderr;
    expect(await fails('--tls-cert', cert, '--tls-key', otherKey)).to.contain(`can't use the certificate ${cert} with`);
    expect(await fails('--tls-cert', '/nope.pem', '--tls-key', keyFile)).to.contain("can't read /nope.pem");
    expect(await fails('--tls-cert', cert)).to.contain('give both --tls-cert and --tls-key');
    expect((await sandpit(['users', 'list', '--db', db])).stderr).to.contain('there is no database');
  });
});

describe('serve without a certificate', () => {
  const start = (...flags: string[]) => serve(['--db', join(temporaryDirectory(), 'sandpit.db'), ...flags]);

  it('warns once if the network can reach it, but not on loopback', async () => {
    const open = await start('--host', '0.0.0.0');
    await open.stop();
    expect(open.output.stderr.match(/without TLS/g)).to.have.length(1);
    expect(open.output.stderr).to.match(/ http:\/\/127\.0\.0\.1:\d+\/v1\/sessions\/sandboxes\n/);
    expect(open.output.stderr).to.match(
      / answers on http:\/\/127\.0\.0\.1:\d+ and at this machine's other addresses\n/,
    );
    const local = await start();
    await local.stop();
    expect(local.output.stderr).not.to.contain('TLS');
  });

  it('continues after a SIGHUP that does not come from a terminal', async () => {
    const server = await start();
    server.signal('SIGHUP');
    expect((await fetch(`${server.url}/health`)).status).to.equal(200);
    expect(await server.stop()).to.equal(0);
    expect(server.output.stderr).to.contain('There is no certificate to reload.');
  });
});

import { readFileSync } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { expect } from 'chai';
import { makeCertificate } from '../helpers/certificate.ts';
import { closeNow, listen } from '../helpers/listen.ts';
import { otherServer } from '../helpers/other-server.ts';
import { sandpit } from '../helpers/processes/process.ts';

const env = { SANDPIT_CONFORM_API_KEY: 'k' };

describe('sandpit conform when it cannot start', () => {
  const html = { 'Content-Type': 'text/html' };
  const answers: [string, number, OutgoingHttpHeaders, string][] = [
    ['sends a page', 200, html, 'answered 200 with text/html that is not JSON: is this the right --url?'],
    ['is busy', 503, { 'Retry-After': '7' }, 'answered 503: it is busy, try again in 7 s'],
    ['limits the rate', 429, {}, 'answered 429: it is busy, try again later'],
    [
      'limits it for an hour',
      429,
      { 'Retry-After': '3600' },
      'answered 429: retrying after 3600 s would exceed the time limit',
    ],
    ['is broken', 500, html, 'answered 500: the server failed'],
  ];
  const open: (() => void)[] = [];
  afterEach(() => {
    for (const close of open.splice(0)) close();
  });

  for (const [name, status, headers, message] of answers) {
    it(`${name}: ${message}`, async () => {
      const server = await otherServer((_req, res) => {
        res.writeHead(status, headers).end('<p>');
        return true;
      });
      open.push(server.close);
      for (const more of [[], ['--existing']]) {
        const { code, stderr } = await sandpit(['conform', '--url', server.url, ...more], { env });
        expect(code).to.equal(1);
        expect(stderr).to.contain(`GET /v1/sessions/sandboxes ${message}`);
        expect(stderr).to.match(/^sandpit: .+\n$/);
      }
    });
  }

  it('a self-signed certificate: names NODE_EXTRA_CA_CERTS', async () => {
    const { cert, key, pem } = await makeCertificate();
    const server = createTlsServer({ cert: pem, key: readFileSync(key) }, (_req, res) => res.end('[]'));
    const port = await listen(server);
    open.push(() => closeNow(server));
    const args = ['conform', '--existing', '--rule', 'list-array', '--url'];
    const url = `https://127.0.0.1:${port}`;
    const { stderr } = await sandpit([...args, url], { env });
    expect(stderr).to.match(
      /_SELF_SIGNED_CERT: set NODE_EXTRA_CA_CERTS to a PEM file of the authority that signed its certificate\n$/,
    );
    const trusting = await sandpit([...args, url], { env: { ...env, NODE_EXTRA_CA_CERTS: cert } });
    expect(trusting.stdout).to.match(/^pass {2}list-array/m);
  });
});

import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { expect } from 'chai';
import { closeNow, listen } from '../helpers/listen.ts';
import { sandpit } from '../helpers/processes/process.ts';

describe('sandpit conform against a broken server', () => {
  const failing = async (listener: RequestListener, ...args: string[]) => {
    const broken = createServer(listener);
    const url = `http://127.0.0.1:${await listen(broken)}`;
    const result = await sandpit(['conform', '--url', url, '--api-key', 'k', '--existing', ...args]);
    closeNow(broken);
    expect(result.code).to.equal(1);
    expect(result.stderr).to.match(/^sandpit: .+\n$/);
    return result;
  };
  const list = (res: ServerResponse) => void res.setHeader('Content-Type', 'application/json').end('[]');

  it('reports a closed connection for each rule and continues', async () => {
    let seen = 0;
    const { stdout } = await failing((req, res) => void (seen++ % 3 === 2 ? req.socket.destroy() : list(res)));
    expect(stdout).to.match(/expected {2}an answer\n.*\n {6}got {7}GET http:\S+ failed: /);
    expect(stdout).to.match(/^pass {2}/m);
  });

  it('gives up on a server that never answers after --request-seconds', async () => {
    const { stderr } = await failing(() => {}, '--request-seconds', '1');
    expect(stderr).to.contain('had no answer within 1 s');
  });

  it('does not follow redirects', async () => {
    const { stderr } = await failing((_req, res) => void res.writeHead(302, { location: '/elsewhere' }).end());
    expect(stderr).to.contain('answered 302, a redirect, which is not followed');
  });

  it('prints a nonsense response without its control characters', async () => {
    let seen = 0;
    const nonsense: RequestListener = (_req, res) => void (seen++ > 0 ? res.end('\u001b[2J\u0000<html>') : list(res));
    const { stdout } = await failing(nonsense, '--rule', 'list-array');
    expect(stdout).to.contain('200 (no content type) \\u001b[2J\\u0000<html>');
  });

  it('waits and retries when rate limited', async () => {
    let seen = 0;
    const limited = (_req: unknown, res: ServerResponse) => {
      if (seen++ % 2 === 0) return void res.writeHead(429, { 'retry-after': '0' }).end();
      list(res);
    };
    const { stdout } = await failing(limited, '--rule', 'list-array', 'limit-below');
    expect(stdout).to.match(/^pass {2}list-array/m);
    expect(stdout).to.match(/got {7}200 \[\]\n\n1 passed, 1 failed/);
  });
});

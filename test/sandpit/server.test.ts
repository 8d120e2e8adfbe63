import { expect } from 'chai';
import { RequestHistory } from '../../app/metrics/recent.ts';
import { apiKey, startApp } from '../helpers/server.ts';

describe('GET /v1/server', () => {
  it('200: what runs behind sandboxes, and the requests of the last hour; 401 without a credential', async () => {
    const app = await startApp({ machines: 'process' });
    const alice = await app.addUser('alice');
    const read = async () => (await app.http.get('/v1/server').set(apiKey(alice))).body;
    const first = await read();
    expect(first).to.include({ version: '0.1.0', machines: 'process' });
    expect(first.last_hour).to.deep.equal({
      requests: 0,
      failed: 0,
      milliseconds: { p50: null, p95: null, p99: null },
    });
    await app.http.get('/health');
    const { last_hour: hour } = await read();
    expect(hour.requests).to.equal(2);
    expect(hour.milliseconds.p50).to.be.within(0.5, 10_000);
    expect((await app.http.get('/v1/server')).status).to.equal(401);
  });

  it('counts failures, sorts times into the buckets of the metrics, and forgets after an hour', () => {
    let now = 0;
    const history = new RequestHistory(() => now);
    for (let n = 0; n < 99; n++) history.ended(200, 0.002);
    history.ended(500, 60);
    expect(history.read()).to.deep.equal({ requests: 100, failed: 1, p50: 2.5, p95: 2.5, p99: 2.5 });
    for (let n = 0; n < 9; n++) history.ended(499, 60);
    expect(history.read()).to.include({ requests: 109, failed: 1, p99: Number.POSITIVE_INFINITY });
    now = 59 * 60_000;
    history.ended(200, 0.002);
    expect(history.read().requests).to.equal(110);
    now += 60_000;
    expect(history.read()).to.include({ requests: 1, p99: 2.5 });
  });
});

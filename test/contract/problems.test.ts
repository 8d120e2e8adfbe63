import { expect } from 'chai';
import { apiKey, type Caller, shareApp } from '../helpers/server.ts';

const many = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, n) => text(n)).join();

describe('problems of a request', () => {
  const app = shareApp();
  let alice: Caller;
  before(async () => {
    alice = await app().addUser('alice');
  });
  const send = (path: string, body: string) => app().http.post(path).set(apiKey(alice)).type('json').send(body);
  const detail = async (path: string, body: string) => (await send(path, body)).body.detail;

  it('lists the first hundred and counts the rest', async () => {
    for (const count of [100, 101, 102, 60_000]) {
      const problems = await detail('/v1/vms', `{"env":{${many(count, (n) => `"k${n}":0`)}}}`);
      expect(problems.length, String(count)).to.equal(Math.min(count, 101));
      expect(problems[99].loc).to.deep.equal(['body', 'env', 'k99']);
      if (count === 100) continue;
      const msg = `${count - 100} more problem${count === 101 ? ' is' : 's are'} not listed`;
      const more = { type: 'too_many_problems', loc: ['body'], msg, ctx: { unlisted: count - 100 } };
      expect(problems[100]).to.deep.equal(more);
    }
    const body = `{"templateID":"base","metadata":{${many(60_000, (n) => `"k${n}":0`)}}}`;
    const { status, text } = await send('/sandboxes', body);
    expect([status, text.length < 10_000]).to.deep.equal([400, true]);
    expect(text).to.contain('body: 59900 more problems are not listed');
  });

  it('repeats the input only while the response stays smaller than the request', async () => {
    const long = 'x'.repeat(30_000);
    const problems = await detail('/v1/webhooks/endpoints', `{"description":"${long}"}`);
    expect(problems.map((problem: object) => 'input' in problem)).to.deep.equal([true, false]);
    const name = 'y'.repeat(20_000);
    const { text } = await send('/v1/sandboxes/kill', `{${many(50, (n) => `"${n}${name}":1`)}}`);
    expect(text.length).to.be.lessThan(100_000);
    expect(JSON.parse(text).detail[0].loc[1]).to.equal(`0${name.slice(0, 999)}…`);
  });

  it('orders problems by the contract’s members, then by the request’s', async () => {
    const body = '{"x":1,"limit":0,"a/b":1,"metadata":[],"~1":2,"":3,"1":4,"0":5}';
    const problems = await detail('/v1/sandboxes/kill', body);
    expect(problems.map(({ loc, input }: { loc: string[]; input: unknown }) => [loc[1], input])).to.deep.equal([
      ['metadata', []],
      ['limit', 0],
      ...[
        ['x', 1],
        ['a/b', 1],
        ['~1', 2],
        ['', 3],
        ['1', 4],
        ['0', 5],
      ],
    ]);
    const env = await detail('/v1/vms', '{"env":{"1":0,"a":0,"0":0}}');
    expect(env.map(({ loc }: { loc: string[] }) => loc[2])).to.deep.equal(['1', 'a', '0']);
  });

  it('shows the input without defaults', async () => {
    expect((await detail('/v1/snapshots', '{"name":"n"}'))[0].input).to.deep.equal({ name: 'n' });
    expect((await detail('/v1/sandboxes/kill', '{"dry_run":true}'))[0].input).to.deep.equal({ dry_run: true });
  });

  it('prints numbers as Python does', async () => {
    const numerals: Record<string, string> = {
      '1.0': '1.0',
      '-0': '0',
      '-0.0': '-0.0',
      '1e16': '1e+16',
      '1E15': '1000000000000000.0',
      '0.1': '0.1',
      '0.00001': '1e-05',
      '0.0001': '0.0001',
      '123456.789e3': '123456789.0',
      '1.5e300': '1.5e+300',
      '9007199254740993': '9007199254740993',
      '9223372036854775808': '9223372036854775808',
      '1e400': '1e400',
    };
    for (const [sent, shown] of Object.entries(numerals)) {
      const { text } = await send('/v1/vms', `{"snapshot_id":${sent}}`);
      expect(/"input":(.*?)}/.exec(text)?.[1], sent).to.equal(shown);
    }
  });

  it('distinguishes an integer that exceeds a double from a fraction', async () => {
    const [problem] = await detail('/v1/vms', '{"vm_lifetime_seconds":1.5}');
    expect(problem.type).to.equal('int_from_float');
    for (const numeral of ['1e400', '-1e999']) {
      const { type, msg } = (await detail('/v1/vms', `{"vm_lifetime_seconds":${numeral}}`))[0];
      expect([type, msg]).to.deep.equal(['finite_number', 'Input should be a finite number']);
    }
    expect((await detail('/v1/vms', '{"vm_lifetime_seconds":9007199254740993}'))[0].type).to.equal('less_than_equal');
  });

  it('counts the items of a list in a query', async () => {
    const message = async (ids: string) =>
      (await app().http.get(`/sandboxes/metrics?sandbox_ids=${ids}`).set(apiKey(alice))).body.message;
    const length = 'validation error: query.sandbox_ids: List should have';
    expect(await message(many(101, (n) => `i${n}`))).to.equal(`${length} at most 100 items after validation, not 101`);
    expect(await message('')).to.equal(`${length} at least 1 item after validation, not 0`);
  });

  it('accepts the integers in a query that pydantic accepts', async () => {
    const typeOf = async (limit: string) =>
      (await app().http.get(`/v1/sessions/sandboxes?limit=${limit}`).set(apiKey(alice))).body.detail?.[0].type;
    for (const limit of ['5', '%205%0a', '%c2%855', '%2B5', '5.0', '5.00', '1_0', '00012']) {
      expect(await typeOf(limit), limit).to.equal(undefined);
    }
    for (const limit of ['5.', '12.', '%ef%bb%bf5', '5%ef%bb%bf', '1e2', '0x10', '_1', '1_', '1.5', '', '%1c5']) {
      expect(await typeOf(limit), limit).to.equal('int_parsing');
    }
    expect(await typeOf('9'.repeat(310))).to.equal('less_than_equal');
    expect(await typeOf(`-${'9'.repeat(310)}`)).to.equal('greater_than_equal');
    expect(await typeOf('9'.repeat(4300))).to.equal('less_than_equal');
    expect(await typeOf('9'.repeat(4301))).to.equal('int_parsing_size');
  });

  it('reports every field of a form; an empty field counts as missing', async () => {
    const ask = (form: string) => app().http.post('/v1/auth/token').type('form').send(form);
    const missing = (name: string) => ({ type: 'missing', loc: ['body', name], msg: 'Field required', input: null });
    expect((await ask('')).body.detail).to.deep.equal([missing('username'), missing('password')]);
    expect((await ask('username=alice&password=')).body.detail).to.deep.equal([missing('password')]);
    expect((await ask('grant_type=&username=alice&password=x')).status).to.equal(401);
    const [first, second] = (await ask('grant_type=x&password=y')).body.detail;
    expect([first.type, second.type]).to.deep.equal(['string_pattern_mismatch', 'missing']);
  });
});

import { expect } from 'chai';
import { useMachine } from '../../helpers/clients/machine-client.ts';

describe('joining files of a sandbox', () => {
  const machine = useMachine();

  const compose = async (body: object | string, headers = machine.headers) => {
    const { status, text } = await machine.call('/files/compose', {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status, body: JSON.parse(text) };
  };
  const content = async (path: string) => {
    const { status, text } = await machine.read(path);
    return status === 200 ? text : status;
  };

  it('200: the content in order, in place of what was there; the sources are gone', async () => {
    for (const name of ['1', '2', '3']) await machine.write(`parts/${name}`, name.repeat(100_000));
    await machine.write('whole.txt', 'old');
    const joined = await compose({
      source_paths: ['parts/2', '~/parts/1', 'parts/3'],
      destination: 'new/../whole.txt',
    });
    expect(joined.status).to.equal(200);
    expect(joined.body).to.include({ name: 'whole.txt', type: 'file' });
    expect(await content('whole.txt')).to.equal('2'.repeat(100_000) + '1'.repeat(100_000) + '3'.repeat(100_000));
    expect(await content('parts/1')).to.equal(404);
  });

  it('200: with a username, relative paths start in its home', async () => {
    await machine.write('named', 'x');
    const { body } = await compose({
      source_paths: ['named'],
      destination: 'named2',
      username: 'nobody-has-this-name',
    });
    expect(body).to.deep.equal({ code: 401, message: "invalid username: 'nobody-has-this-name'" });
    expect(await content('named')).to.equal('x');
  });

  it('404, 400, 403: nothing changes if a source is missing, no file or the destination, or nothing may be there', async () => {
    await machine.write('source', 'kept');
    await machine.write('target', 'as it was');
    for (const [source_paths, destination, status, words] of [
      [['source', 'missing'], 'target', 404, 'does not exist'],
      [['source', '/tmp'], 'target', 400, 'is a directory'],
      [['target', './source'], 'source', 400, 'is the destination'],
      [['source', 'a\0b'], 'target', 400, 'NUL'],
      [['source'], '/sys/kernel/joined', 403, ''],
    ] as const) {
      const { status: found, body } = await compose({ source_paths, destination });
      expect([found, body.code], words).to.deep.equal([status, status]);
      expect(body.message).to.contain(words);
      expect([await content('source'), await content('target')]).to.deep.equal(['kept', 'as it was']);
    }
  });

  it('400: a body that breaks the contract, 413: one that is too large', async () => {
    for (const [body, words] of [
      ['{}', 'body.source_paths: Field required; body.destination: Field required'],
      ['{"source_paths":[],"destination":"x"}', 'body.source_paths: List should have at least 1 item'],
      ['{"source_paths":["a"],"destination":""}', 'body.destination: String should have at least 1 character'],
      ['{"source_paths":[1],"destination":"x"}', 'body.source_paths.0: Input should be a valid string'],
      ['no json', 'JSON'],
      ['', 'JSON'],
    ] as const) {
      const answer = await compose(body);
      expect([answer.status, answer.body.code], body).to.deep.equal([400, 400]);
      expect(answer.body.message).to.contain(words);
    }
    expect((await compose(`"${'x'.repeat(2 ** 20)}"`)).status).to.equal(413);
  });

  it('401: without the access token, also with a signature; 502: no such sandbox', async () => {
    const wanted = { source_paths: ['a'], destination: 'b' };
    for (const token of ['', 'wrong']) {
      const { status, body } = await compose(wanted, { ...machine.headers, 'X-Access-Token': token });
      expect(status).to.equal(401);
      expect(body.message).to.match(/^unauthorized access/);
    }
    expect((await compose(wanted, { ...machine.headers, 'E2b-Sandbox-Id': 'i00000000000000000000' })).status).to.equal(
      502,
    );
  });
});

import { expect } from 'chai';
import { type Machine, signed, startMachine, useMachine } from '../../helpers/clients/machine-client.ts';

const words = {
  missing: 'missing signature query parameter',
  wrong: 'invalid signature',
  expired: 'signature is already expired',
  token: 'access token present in header but does not match',
};

describe('access to the files of a sandbox', () => {
  const machine = useMachine();
  let other: Machine;
  before(async () => {
    other = await startMachine(machine.app, machine.url);
    await machine.write('mine.txt', 'mine');
    await other.write('mine.txt', 'of the other');
  });

  const named = (id = machine.id) => ({ 'E2b-Sandbox-Id': id });
  const get = async (query: string, headers: Record<string, string> = named()) => {
    const { status, text } = await machine.call(`/files?${query}`, { headers });
    return [status, status === 401 ? JSON.parse(text).message : text];
  };
  const post = async (query: string, headers: Record<string, string> = named()) => {
    const { status, text } = await machine.call(`/files?${query}`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/octet-stream' },
      body: 'signed',
    });
    return status === 200 ? 200 : [status, JSON.parse(text).message];
  };
  const now = () => Math.floor(machine.app.clock.now / 1000);

  it('a signature allows its operation on its path, without the access token', async () => {
    expect(await get(signed(machine.token, 'read', 'mine.txt'))).to.deep.equal([200, 'mine']);
    expect(await post(signed(machine.token, 'write', 'signed.txt'))).to.equal(200);
    expect((await machine.read('signed.txt')).text).to.equal('signed');
  });

  it('401: without a signature, and with one for something else', async () => {
    const { token } = machine;
    expect(await get('path=mine.txt')).to.deep.equal([401, words.missing]);
    expect(await post('path=mine.txt&signature=')).to.deep.equal([401, words.missing]);
    for (const query of [
      signed(token, 'write', 'mine.txt'),
      signed(token, 'read', 'mine.txt').replace('mine.txt', 'other.txt'),
      `${signed(token, 'read', 'mine.txt')}&username=root`,
      `${signed(token, 'read', 'mine.txt')}&signature_expiration=${now() + 60}`,
      signed(other.token, 'read', 'mine.txt'),
      'path=mine.txt&signature=v1_',
      'path=mine.txt&signature=%00',
    ]) {
      expect(await get(query), query).to.deep.equal([401, words.wrong]);
    }
    expect(await post(signed(token, 'read', 'mine.txt'))).to.deep.equal([401, words.wrong]);
  });

  it('a signature with an expiration ends with that second; a wrong one is called wrong, not expired', async () => {
    const query = signed(machine.token, 'read', 'mine.txt', { expiration: now() });
    expect(await get(query)).to.deep.equal([200, 'mine']);
    const past = signed(machine.token, 'read', 'mine.txt', { expiration: now() - 1 });
    expect(await get(past)).to.deep.equal([401, words.expired]);
    expect(await get(past.replace(String(now() - 1), String(now() + 5)))).to.deep.equal([401, words.wrong]);
    expect(await get(past.replace('mine.txt', 'a.txt'))).to.deep.equal([401, words.wrong]);
    for (const odd of ['x', '-1', '1e9', '']) {
      expect(await get(`${signed(machine.token, 'read', 'mine.txt')}&signature_expiration=${odd}`)).to.deep.equal([
        401,
        words.wrong,
      ]);
    }
  });

  it('the access token in the header counts more than a signature', async () => {
    const query = signed(machine.token, 'read', 'mine.txt');
    const withToken = (token: string) => ({ ...named(), 'X-Access-Token': token });
    expect(await get('path=mine.txt&signature=wrong', withToken(machine.token))).to.deep.equal([200, 'mine']);
    for (const token of ['wrong', other.token, machine.token.slice(1), machine.token.toUpperCase()]) {
      expect(await get(query, withToken(token))).to.deep.equal([401, words.token]);
    }
  });

  it('a signature names a user, whose name is part of it', async () => {
    const query = signed(machine.token, 'read', 'mine.txt', { user: 'nobody-has-this-name' });
    expect(await get(query)).to.deep.equal([401, "invalid username: 'nobody-has-this-name'"]);
  });

  it('a signed URL without a sandbox leads to the sandbox whose token made it', async () => {
    for (const [{ token }, content] of [
      [machine, 'mine'],
      [other, 'of the other'],
    ] as const) {
      const expiration = now() + 60;
      expect(await get(signed(token, 'read', 'mine.txt', { expiration }), {})).to.deep.equal([200, content]);
      expect(await get(signed(token, 'read', 'mine.txt', { expiration: now() - 1 }), {})).to.deep.equal([
        401,
        words.expired,
      ]);
    }
    expect(await post(signed(other.token, 'write', 'found.txt'), {})).to.equal(200);
    expect((await other.read('found.txt')).text).to.equal('signed');
    expect(await get(signed('another token', 'read', 'mine.txt'), {})).to.deep.equal([401, words.wrong]);
    const unnamed = await machine.call('/files?path=mine.txt', { headers: {} });
    expect([unnamed.status, unnamed.json().message]).to.deep.equal([
      400,
      'Name the sandbox in the header E2b-Sandbox-Id',
    ]);
  });

  it('502: a sandbox that does not exist or was killed; 401: a signed URL of one', async () => {
    const gone = await startMachine(machine.app, machine.url);
    await gone.write('a.txt', 'x');
    await gone.app.http.delete(`/sandboxes/${gone.id}`).set('X-API-Key', gone.owner.key);
    for (const id of [gone.id, 'i00000000000000000000', '']) {
      for (const method of ['GET', 'POST']) {
        const headers = { 'E2b-Sandbox-Id': id, 'X-Access-Token': gone.token };
        const { status, text } = await machine.call('/files?path=a.txt', { method, headers });
        const expected = { sandboxId: id, message: 'The sandbox was not found', code: 502 };
        expect([status, JSON.parse(text)]).to.deep.equal([502, expected]);
      }
    }
    expect(await get(signed(gone.token, 'read', 'a.txt'), {})).to.deep.equal([401, words.wrong]);
  });

  it('401: before a byte of the body is read', async () => {
    async function* endless() {
      for (;;) yield Buffer.alloc(65_536);
    }
    for (const type of ['application/octet-stream', 'multipart/form-data; boundary=x']) {
      const answer = await machine.call('/files?path=a', {
        method: 'POST',
        headers: { ...named(), 'Content-Type': type },
        body: endless() as never,
        duplex: 'half',
      } as never);
      expect([answer.status, answer.headers.get('connection')]).to.deep.equal([401, 'close']);
    }
  });
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Answer, signed, useMachine } from '../helpers/clients/machine-client.ts';
import { apiKey } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

describe('copies of machines that run', () => {
  const machine = useMachine();
  const post = (path: string, body: object) => machine.app.http.post(path).set(apiKey(machine.owner)).send(body);
  const remove = (path: string) => machine.app.http.delete(path).set(apiKey(machine.owner));
  /** Returns the text of a file in a sandbox. */
  const textIn = async (
    { sandboxID, envdAccessToken }: { sandboxID: string; envdAccessToken: string },
    path: string,
  ) => {
    const query = signed(envdAccessToken, 'read', path);
    const answer: Answer = await machine.call(`/files?${query}`, { headers: { 'E2b-Sandbox-Id': sandboxID } });
    return answer.text;
  };
  const snapshots = () => {
    const folder = readdirSync(machine.app.dir).find((name) => name.startsWith('machines-')) as string;
    const found = readdirSync(join(machine.app.dir, folder), { withFileTypes: true });
    return found.some(({ name }) => name === '.snapshots')
      ? readdirSync(join(machine.app.dir, folder, '.snapshots')).length
      : 0;
  };

  it('hold the files of their source, apart from it: sandboxes from snapshots, and forks', async () => {
    await machine.write('kept.txt', 'before');
    const taken = await post(`/sandboxes/${machine.id}/snapshots`, { name: 'files' });
    expect(taken.status).to.equal(201);
    await machine.write('kept.txt', 'after');
    const forked = await post(`/sandboxes/${machine.id}/fork`, { count: 2, timeout: 300 });
    const created = await post('/v2/sandboxes', { templateID: 'files', timeout: 300 });
    expect([forked.status, created.status]).to.deep.equal([201, 201]);
    const copies = forked.body.map(({ sandbox }: { sandbox: object }) => sandbox);
    const texts = await Promise.all([...copies, created.body].map((each) => textIn(each, 'kept.txt')));
    expect(texts).to.deep.equal(['after', 'after', 'before']);
    expect(snapshots()).to.equal(1);
    expect((await remove('/templates/files')).status).to.equal(204);
    await until('the removal of the files', () => snapshots() === 0);
    expect(await textIn(created.body, 'kept.txt')).to.equal('before');
    for (const { sandboxID } of [...copies, created.body]) await remove(`/sandboxes/${sandboxID}`);
  });
});

import { expect } from 'chai';
import { operations } from '../helpers/contract.ts';
import { apiKey, startApp } from '../helpers/server.ts';

describe('operations that need a machine', () => {
  it('413: a body of more than a mebibyte', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const taking = operations.filter(
      ({ operation }) =>
        operation.tags.some((tag) => ['machine', 'e2b-code'].includes(tag)) && '413' in operation.responses,
    );
    expect(taking).not.to.deep.equal([]);
    for (const { method, path, operation } of taking) {
      const [type = ''] = Object.keys(operation.requestBody?.content ?? {});
      const sent = app.http[method as 'post'](path.replace(/\{[^}]*\}/g, '00000000-0000-4000-8000-000000000000'));
      const body =
        type === 'application/json' ? JSON.stringify({ a: 'x'.repeat(2 ** 20) }) : `a=${'x'.repeat(2 ** 20)}`;
      expect((await sent.set(apiKey(alice)).type(type).send(body)).status, path).to.equal(413);
    }
  });
});

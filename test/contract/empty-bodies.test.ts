import { expect } from 'chai';
import { isE2b } from '../../app/http/dialect.ts';
import { resolve, type Schema } from '../../spec/load.ts';
import { contract, operations } from '../helpers/contract.ts';
import { apiKey, type Caller, shareApp } from '../helpers/server.ts';

describe('empty bodies', () => {
  const app = shareApp();
  let alice: Caller;
  before(async () => {
    alice = await app().addUser('bodies');
  });

  const withBody = operations.filter(
    ({ path, operation }) => operation.requestBody && !operation['x-reads-body'] && !path.startsWith('/_test/'),
  );
  const isOptional = ({ operation }: (typeof operations)[0]) => operation.requestBody?.required === false;
  const send = async ({ method, path }: (typeof operations)[0], type: string, body: string, isChunked = false) => {
    const request = app().http[method as 'post'](path.replace(/\{.*?\}/, 'i00000000000000000000'));
    request.set(apiKey(alice)).set('Content-Type', type);
    if (isChunked) request.set('Transfer-Encoding', 'chunked');
    return (await request.send(body)).status;
  };

  // Those that need a machine have tests of their own.
  const hasRecord = ({ operation }: (typeof operations)[0]) => !operation.tags.includes('machine');
  for (const described of withBody.filter(isOptional).filter(hasRecord)) {
    const { operationId, requestBody } = described.operation;

    it(`${operationId} accepts no body, an empty body of any type, and null, as declared`, async () => {
      const schema = resolve<Schema>(contract, requestBody?.content['application/json']?.schema ?? {});
      expect(schema.type).to.deep.equal(['object', 'null']);
      const status = await send(described, 'application/json', '{}');
      // InstaVM's client shows its user no 404, so an unknown template is a 403.
      expect(status).to.be.oneOf([201, operationId === 'run_template' ? 403 : 404]);
      expect(await send(described, 'application/json', 'null'), 'null').to.equal(status);
      for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain', 'a']) {
        expect(await send(described, type, ''), type).to.equal(status);
        expect(await send(described, type, '', true), `${type}, chunked`).to.equal(status);
      }
      expect(await send(described, 'text/plain', '{}'), 'not empty').to.equal(415);
    });
  }

  it('reports an empty required body as missing, whatever its type', async () => {
    for (const described of withBody.filter((each) => !isOptional(each))) {
      const missing = isE2b(described.path) ? 400 : 422;
      for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain']) {
        expect(await send(described, type, ''), `${described.operation.operationId} ${type}`).to.equal(missing);
      }
    }
  });
});

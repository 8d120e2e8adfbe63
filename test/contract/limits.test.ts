import { expect } from 'chai';
import { maxBodyBytes } from '../../app/contract/body/bytes.ts';
import { defaultSize } from '../../db/sandboxes/insert.ts';
import {
  defaultLifetimeSeconds,
  maxFilterLength,
  maxLifetimeSeconds,
  maxRecordedBytes,
  maxRecordedRequests,
  maxStreamsPerOwner,
  minRefreshSeconds,
} from '../../spec/limits.ts';
import { loadContract, resolve } from '../../spec/load.ts';

describe('limits that stand in openapi.yaml and in code', () => {
  const contract = loadContract();
  /** Returns the value at a JSON pointer. */
  const at = (pointer: string) => resolve<Record<string, unknown>>(contract, { $ref: pointer });
  const property = (schema: string, name: string) => at(`#/components/schemas/${schema}/properties/${name}`);
  const operation = (method: string, path: string) => at(`#/paths/${path.replaceAll('/', '~1')}/${method}`);
  const about = at('#/info').description;
  const withCommas = (count: number) => count.toLocaleString('en-US');

  it('has one length of a filter', () => {
    expect(at('#/components/parameters/MetadataPairs').schema).to.include({ maxLength: maxFilterLength });
    expect(about).to.contain(`filter holds at most ${withCommas(maxFilterLength)} characters`);
    expect(property('KillSandboxes', 'metadata').description).to.contain(`${withCommas(maxFilterLength)} characters`);
  });

  it('has one size of a body', () => {
    expect(maxBodyBytes).to.equal(2 ** 20);
    expect(about).to.contain('A body holds at most 1 MiB');
  });

  it('has one default and one maximum lifetime', () => {
    for (const schema of ['CreateVM', 'CreateSession', 'Lifetime', 'CloneVM']) {
      const limits = { default: defaultLifetimeSeconds, maximum: maxLifetimeSeconds };
      expect(property(schema, 'vm_lifetime_seconds'), schema).to.include(limits);
    }
    expect(property('NewSandbox', 'timeout')).to.include({ maximum: maxLifetimeSeconds });
    expect(operation('post', '/sandboxes/{sandboxID}/refreshes').description).to.match(
      new RegExp(`\\b${minRefreshSeconds}\\b`),
    );
  });

  it('has one default size', () => {
    expect(property('CreateSnapshot', 'memory_mb')).to.include({ default: defaultSize.memoryMb });
    expect(property('CreateSnapshot', 'vcpu_count')).to.include({ default: defaultSize.vcpuCount });
  });

  it('has one number of event streams', () => {
    expect(operation('get', '/v1/events').description).to.match(new RegExp(`\\b${maxStreamsPerOwner}\\b`));
  });

  it('has one size of what a test server records', () => {
    const text = operation('get', '/_test/requests').description;
    expect(text).to.contain(withCommas(maxRecordedRequests)).and.contain(withCommas(maxRecordedBytes));
  });
});

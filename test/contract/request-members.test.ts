import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { marksOf } from '../../app/contract/not-offered.ts';
import { rules } from '../../app/machines/unsupported.ts';
import { parametersOf, resolve, type Schema } from '../../spec/load.ts';
import { bodyOf, type Call, encoded, filled, sampleOf } from '../abuse/helpers/samples.ts';
import { startTestClient, type TestClient } from '../helpers/clients/test-client.ts';
import { contract, operations } from '../helpers/contract.ts';

const unknown = 'nobody_knows_this';

/** RFC 6749, 3.2: an authorization server ignores unknown parameters. So does FastAPI in forms. */
const mayIgnore = ['create_access_token', 'download_file'];

const calls: Call[] = operations.map((call) => ({ ...call, method: call.method.toUpperCase() }));
/** JSON of Protocol Buffers: "unknown fields are ignored", so that clients of all versions work. */
const isProtocolBuffers = ({ operation }: Call) => operation.operationId.startsWith('envd_');
const withBody = calls.filter(
  (call) =>
    bodyOf(call.operation) &&
    !call.operation['x-reads-body'] &&
    !mayIgnore.includes(call.operation.operationId) &&
    !isProtocolBuffers(call),
);

type Planted = { value: unknown; place: (string | number)[] };

/**
 * For each object of the schema, returns a value with one unknown member in that object, and the
 * position of that member.
 */
function planted(given: Schema): Planted[] {
  const schema = resolve<Schema>(contract, given);
  const { properties, additionalProperties: rest, items } = schema;
  const below = (key: string | number, inner: Schema, around: (value: unknown) => unknown) =>
    planted(inner).map(({ value, place }) => ({ value: around(value), place: [key, ...place] }));
  if (items) return below(0, items, (value) => [value]);
  if (typeof rest === 'object') return below('a', rest, (value) => ({ a: value }));
  if (!properties) return [];
  const whole = sampleOf(schema) as object;
  const members = Object.entries(properties).flatMap(([name, member]) =>
    below(name, member, (value) => ({ ...whole, [name]: value })),
  );
  return [{ value: { ...whole, [unknown]: 1 }, place: [unknown] }, ...members];
}

/** The test file that shows the effect of each member. Every offered member must be listed. */
const shownBy: Record<string, string[]> = {
  'contract/request-members.test.ts': ['UpdateVM.auto_suspend', 'UpdateVM.memory_mb', 'CreateVM.auto_suspend'],
  'accounts/api-keys.test.ts': ['ApiKeyRequest.*'],
  'accounts/auth.test.ts': ['PasswordGrant.grant_type', 'PasswordGrant.username', 'PasswordGrant.password'],
  'envd/processes.test.ts': ['EnvdStart.*', 'EnvdProcess.*', 'EnvdUpdate.*', 'EnvdSendInput.*', 'EnvdSendSignal.*'],
  'envd/stream-input.test.ts': ['EnvdStreamInput.*'],
  'envd/filesystem.test.ts': ['EnvdPath.*', 'EnvdListDir.*', 'EnvdMove.*'],
  'envd/watch.test.ts': ['EnvdWatch.*', 'EnvdWatcher.*'],
  'e2b/fork.test.ts': ['SandboxForkRequest.*'],
  'envd/files/compose.test.ts': ['EnvdCompose.*'],
  'envd/files/multipart.test.ts': ['.file'],
  'console/page.test.ts': ['SignInLink.token'],
  'e2b/lifetime.test.ts': [
    'SandboxRefreshRequest.duration',
    ...['templateID', 'timeout', 'autoPause', 'autoPauseMemory', 'autoResume', 'secure'].map((n) => `NewSandbox.${n}`),
    ...['allow_internet_access', 'network', 'metadata', 'envVars'].map((n) => `NewSandbox.${n}`),
    ...['templateID', 'timeout', 'autoPause', 'autoPauseMemory', 'autoResume', 'secure'].map(
      (n) => `NewSandboxV2.${n}`,
    ),
    ...['allow_internet_access', 'network', 'metadata', 'envVars'].map((n) => `NewSandboxV2.${n}`),
  ],
  'lifecycle/unsupported.test.ts': ['NewSandbox.mcp', 'NewSandboxV2.mcp'],
  'e2b/network-rules.test.ts': ['SandboxNetworkUpdate.*'],
  'e2b/pause.test.ts': [
    'ConnectSandbox.*',
    'ConnectSandboxV2.*',
    'ResumedSandbox.*',
    'SandboxPauseRequest.memory',
    'SandboxTimeoutRequest.timeout',
  ],
  'e2b/snapshots.test.ts': ['SandboxSnapshotRequest.*'],
  'instavm/account.test.ts': ['NewSshKey.public_key'],
  'instavm/dialect.test.ts': [
    'Lifetime.*',
    'CloneVM.vm_lifetime_seconds',
    'SnapshotRequest.name',
    'ApiKeyDescription.description',
    ...['oci_image', 'name', 'vcpu_count', 'memory_mb', 'type'].map((n) => `CreateSnapshot.${n}`),
  ],
  'instavm/snapshots/build.test.ts': ['CreateSnapshot.build_args', 'SnapshotBuildArgs.*'],
  'instavm/session-life.test.ts': ['CreateVM.session_id'],
  'instavm/sessions.test.ts': ['CreateSession.*', 'Kill.session_id'],
  'instavm/templates.test.ts': ['PublishTemplate.*', 'TemplateRunRequest.*'],
  'e2b/tags.test.ts': ['AssignTemplateTags.*', 'DeleteTemplateTags.*'],
  'sandpit/kill.test.ts': ['KillSandboxes.*'],
  'test-mode/faults.test.ts': ['TestFault.*'],
  'test-mode/control.test.ts': ['TestClockChange.*', 'TestUserRequest.*'],
  'instavm/vms.test.ts': [
    ...['vm_lifetime_seconds', 'memory_mb', 'vcpu_count', 'metadata', 'env'].map((n) => `CreateVM.${n}`),
    'CreateVM.snapshot_id',
  ],
  'instavm/vms-change.test.ts': ['UpdateVM.metadata', 'UpdateVM.vm_lifetime_seconds'],
  'instavm/execute.test.ts': ['ExecuteRequest.*', 'StagedEnv.*'],
  'instavm/shares.test.ts': ['NewShare.*', 'ShareChange.*'],
  'instavm/terminals.test.ts': ['NewTerminal.*', 'TerminalSize.*'],
  'instavm/egress.test.ts': [
    'EgressPolicy.*',
    'CreateVM.egress_policy',
    'CreateVM.auto_resume',
    'UpdateVM.auto_resume',
  ],
  'instavm/snapshots/last-snapshot.test.ts': ['CreateVM', 'UpdateVM'].flatMap((schema) => [
    `${schema}.snapshot_on_terminate`,
    `${schema}.snapshot_name`,
  ]),
  'instavm/files.test.ts': ['UploadForm.*', 'DownloadRequest.*'],
  'code/execute.test.ts': ['CodeExecution.*', 'CodeContextRequest.*'],
  'builds/requests.test.ts': ['NewTemplateBuild.*', 'TemplateBuildStart.*'],
  'e2b/webhooks.test.ts': ['NewE2BWebhook.*', 'E2BWebhookChange.*'],
  'webhooks/instavm.test.ts': [
    ...['timeout_seconds', 'max_retries'].flatMap((n) => [`NewWebhookEndpoint.${n}`, `WebhookEndpointChange.${n}`]),
  ],
  'webhooks/endpoints.test.ts': [
    ...['url', 'event_patterns', 'enabled'].flatMap((n) => [`NewWebhookEndpoint.${n}`, `WebhookEndpointChange.${n}`]),
  ],
  'webhooks/failing-endpoints.test.ts': [
    'NewWebhookEndpoint.include_metadata',
    'WebhookEndpointChange.include_metadata',
  ],
  'webhooks/deliveries.test.ts': ['NewWebhookEndpoint.description', 'WebhookEndpointChange.description'],
};

describe('members of a request', () => {
  let client: TestClient;
  before(async () => {
    client = await startTestClient();
  });
  after(() => client.server.stop());

  const send = ({ method, path, operation }: Call, value: unknown) => {
    const { type = '' } = bodyOf(operation) ?? {};
    const headers = { 'X-API-Key': client.server.apiKey, 'Content-Type': type };
    return client.call(
      method,
      filled(path, () => 'i1'),
      encoded(type, value),
      headers,
    );
  };

  for (const call of withBody) {
    const { method, path, operation } = call;
    it(`${method} ${path} refuses unknown members at any depth and names them`, async () => {
      const all = planted(bodyOf(operation)?.schema ?? {});
      expect(all).not.to.deep.equal([]);
      for (const { value, place } of all) {
        const { status, json } = await send(call, value);
        const body: { message?: string; detail?: { loc: unknown; type: string }[] } = json();
        const isE2b = operation.tags.some((tag) => tag.startsWith('e2b-'));
        expect(status, JSON.stringify(value)).to.equal(isE2b ? 400 : 422);
        if (isE2b) expect(body.message).to.contain(`body.${place.join('.')}: Extra inputs are not permitted`);
        else expect(body.detail).to.deep.include(extraAt(place));
      }
    });
  }

  for (const call of calls) {
    const { method, path, operation } = call;
    const marks = marksOf(contract, operation);
    if (marks.length === 0) continue;
    it(`${method} ${path} refuses a member that is not offered and names it, but accepts its default`, async () => {
      const isE2b = operation.tags.some((tag) => tag.startsWith('e2b-'));
      for (const { status } of marks) expect(operation.responses).to.have.property(String(status));
      const schema = resolve<Schema>(contract, bodyOf(operation)?.schema ?? {});
      // Never used: only a public address may be a receiver.
      const url = schema.properties?.url && { url: 'http://127.0.0.1/' };
      const ask = (place: 'body' | 'query', name: string, value: unknown) =>
        place === 'query'
          ? client.call(method, `${path}?${name}=${value ?? ''}`)
          : send(call, withMember({ ...(sampleOf(schema) as object), ...url }, name.split('.'), value));
      for (const { place, name, reason, status: refused } of marks) {
        const message = `${name} is not offered: ${reason}`;
        for (const something of place === 'query' ? ['x'] : ['x', true, 1, ['a'], { a: false }]) {
          const { status, json } = await ask(place, name, something);
          expect([status, json()]).to.deep.equal([refused, isE2b ? { code: refused, message } : { detail: message }]);
        }
        for (const nothing of place === 'query' ? [''] : [null, false, '', [], {}]) {
          const idle = await ask(place, name, nothing);
          const needs = rules[operation.operationId]?.some(({ needsMachines }) => needsMachines) ?? false;
          const mayRefuse = needs || operation.tags.includes('machine');
          expect(idle.status < 500 || mayRefuse, name).to.equal(true);
          expect(idle.status < 400 || !idle.text.includes(name), idle.text).to.equal(true);
        }
      }
    });
  }

  it('every offered member has a test that shows its effect', () => {
    const known = calls.flatMap(({ operation }) => {
      const { schema = {} } = bodyOf(operation) ?? {};
      const name = schema.$ref?.split('/').at(-1) ?? '';
      const { properties = {} } = resolve<Schema>(contract, schema);
      const offered = Object.keys(properties).filter((member) => !properties[member]?.['x-not-offered']);
      return offered.map((member) => `${name}.${member}`);
    });
    const files = Object.entries(shownBy);
    const unshown = [...new Set(known)].filter((whole) => {
      const [schema = '', member = ''] = whole.split('.');
      if (whole === 'PasswordGrant.scope') return false; // RFC 6749, 3.3: it may be ignored.
      return !files.some(
        ([file, members]) =>
          (members.includes(whole) || members.includes(`${schema}.*`)) &&
          readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').includes(member),
      );
    });
    expect(unshown).to.deep.equal([]);
  });

  it('every operation that declares 501 marks the members that cause it, or is refused with machines', () => {
    const byRule = Object.keys(rules).filter((id) => rules[id]?.some(({ status }) => status === undefined));
    const refused = [...byRule, 'e2b_connect', 'e2b_connect_v2', 'create_session'];
    for (const { operation } of calls) {
      const isOfMachine = operation.tags.some((tag) => ['e2b-envd', 'e2b-code', 'machine'].includes(tag));
      if (isOfMachine) continue;
      const isMarked = marksOf(contract, operation).some(({ status }) => status === 501);
      const isRefused = refused.includes(operation.operationId);
      expect('501' in operation.responses, operation.operationId).to.equal(isMarked || isRefused);
    }
  });

  it('every query parameter has a schema with a constraint, or is marked as not offered', () => {
    for (const { operation } of calls) {
      for (const { name, in: place, schema, ...rest } of parametersOf(contract, operation)) {
        if (place !== 'query' || rest['x-not-offered']) continue;
        expect(Object.keys(schema), `${operation.operationId} ${name}`).not.to.deep.equal([]);
      }
    }
  });

  describe("InstaVM's members", () => {
    type VM = { vm_id: string; memory_mb: number; status: string; end_at: string; auto_suspend: boolean };
    const vm = async (method: string, path: string, body?: object): Promise<VM> =>
      (await client.call(method, path, body)).json();

    it('auto_suspend pauses a sandbox at its end, set when it starts or later', async () => {
      const at = await vm('POST', '/v1/vms', { auto_suspend: true, vm_lifetime_seconds: 20 });
      const later = await vm('POST', '/v1/vms', { vm_lifetime_seconds: 20 });
      const never = await vm('POST', '/v1/vms', { auto_suspend: true, vm_lifetime_seconds: 20 });
      await vm('PATCH', `/v1/vms/${later.vm_id}`, { auto_suspend: true });
      await vm('PATCH', `/v1/vms/${never.vm_id}`, { auto_suspend: false });
      const shown = await Promise.all([at, later, never].map(({ vm_id: id }) => vm('GET', `/v1/vms/${id}`)));
      expect(shown.map((one) => one.auto_suspend)).to.deep.equal([true, true, false]);
      await client.steer('clock', { advance_seconds: 20 });
      const statusOf = async ({ vm_id: id }: VM) => (await vm('GET', `/v1/vms/${id}`)).status;
      const statuses = [await statusOf(at), await statusOf(later), await statusOf(never)];
      expect(statuses).to.deep.equal(['suspended', 'suspended', 'killed']);
    });

    it('memory_mb changes the memory of a sandbox, and is returned and recorded', async () => {
      const { vm_id: id } = await vm('POST', '/v1/vms', { memory_mb: 512 });
      expect(await vm('PATCH', `/v1/vms/${id}`, { memory_mb: 1024 })).to.include({ memory_mb: 1024 });
      expect(await vm('GET', `/v1/vms/${id}`)).to.include({ memory_mb: 1024 });
      const { events } = (await vm('GET', `/v1/audit/events?sandbox_id=${id}&kind=vm.updated`)) as never as {
        events: { details: object }[];
      };
      expect(events[0]?.details).to.deep.equal({ changed: ['memory_mb'] });
    });

    it('refuses an egress policy that blocks everything, because nothing would enforce it', async () => {
      const denied = { allow_public_repos: false, allow_http: false, allow_https: false, allowed_domains: [] };
      const { status, text } = await client.call('POST', '/v1/vms', { egress_policy: denied });
      expect([status, text]).to.satisfy(
        ([code, words]: [number, string]) => code === 501 && words.includes('egress_policy is not offered'),
      );
    });
  });
});

/** Returns an object with a member, whose name is that of one object in another. */
function withMember(whole: Record<string, unknown>, [name = '', ...rest]: string[], value: unknown): object {
  const member = rest.length === 0 ? value : withMember(whole[name] as Record<string, unknown>, rest, value);
  return { ...whole, [name]: member };
}

/** Returns the entry of a 422 about the planted member. */
function extraAt(place: Planted['place']) {
  return { type: 'extra_forbidden', loc: ['body', ...place], msg: 'Extra inputs are not permitted', input: 1 };
}

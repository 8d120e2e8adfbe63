import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { expect } from 'chai';
import { frameTypes } from '../../../app/machines/agent/frames.ts';
import { ArgumentWriter } from '../../../app/machines/agent/values.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { MachineError, type MachineErrorCode } from '../../../app/machines/error.ts';
import { createProcessDriver } from '../../../app/machines/process/driver.ts';
import { type Machine, startMachine } from '../../helpers/clients/machine-client.ts';
import { itHere, startApp, temporaryDirectory } from '../../helpers/server.ts';
import { FakeAgent, hello } from '../../machines/agent/fake-agent.ts';

const calls = (machine: Machine) => [
  () => machine.read('a'),
  () => machine.write('a', 'x'),
  () =>
    machine.call('/files/compose', {
      method: 'POST',
      headers: { ...machine.headers, 'Content-Type': 'application/json' },
      body: '{"source_paths":["a"],"destination":"b"}',
    }),
];

const names = ['probe', 'create', 'remove', 'list', 'deaths', 'usage', 'image', 'pull', 'close'];
const verbs = ['pause', 'stop', 'resume', 'snapshot', 'fork', 'snapshots', 'removeSnapshot'];

/** Starts a sandbox whose machine fails from now on: `channel` is called for each connection. */
async function failing(channel: (fake: FakeAgent) => Duplex): Promise<Machine> {
  const real = createProcessDriver({ instance: '0123456789abcdef', db: join(temporaryDirectory(), 'x.db') });
  const channels: Duplex[] = [];
  let isFailing = false;
  const driver: Driver = {
    ...Object.fromEntries(
      [...names, ...verbs].map((name) => [
        name,
        (real[name as keyof Driver] as (...args: unknown[]) => unknown).bind(real),
      ]),
    ),
    name: real.name,
    features: real.features,
    keepsMemory: real.keepsMemory,
    channel: async (id: string, signal: AbortSignal) => {
      if (isFailing) return channel(new FakeAgent());
      const opened = await real.channel(id, signal);
      channels.push(opened);
      return opened;
    },
  } as Driver;
  const app = await startApp({ machines: 'process', port: 0 }, { driver });
  const machine = await startMachine(app, await app.server.start());
  isFailing = true;
  for (const opened of channels) opened.destroy();
  return machine;
}

describe('files of a machine that fails', () => {
  for (const [code, status] of [
    ['timeout', 504],
    ['unavailable', 503],
    ['gone', 502],
    ['failed', 500],
  ] as [MachineErrorCode, number][]) {
    itHere(`${status}: the machine is "${code}"`, async () => {
      const machine = await failing(() => {
        throw new MachineError(code, 'The reason.');
      });
      for (const call of calls(machine)) {
        const { status: found, headers, json } = await call();
        const words = status === 502 ? 'The sandbox was not found' : 'The reason.';
        expect([found, json().code, json().message]).to.deep.equal([status, status, words]);
        expect(headers.get('retry-after')).to.equal(status === 503 ? '1' : null);
      }
    });
  }

  itHere('answers what the agent refuses with a status that fits, and with its words', async () => {
    let code = 0;
    const machine = await failing((fake) => {
      fake.send(0, frameTypes.hello, hello());
      void refuseAll(fake, () => code);
      return fake.channel;
    });
    // Codes of PROTOCOL.md. A full disk is 507; only a download has no use for one.
    for (const [refusal, status, whenReading] of [
      [1, 400],
      [2, 404],
      [3, 400],
      [4, 401],
      [5, 507, 503],
      [6, 400],
      [7, 500],
      [8, 501],
      [9, 403],
    ] as const) {
      code = refusal;
      for (const [n, call] of calls(machine).entries()) {
        const { status: found, json } = await call();
        const expected = n === 0 ? (whenReading ?? status) : status;
        expect([found, json()]).to.deep.equal([expected, { code: expected, message: 'the reason' }]);
      }
    }
  });

  itHere('502: the machine goes away while a file is written', async () => {
    const machine = await failing((fake) => {
      fake.send(0, frameTypes.hello, hello());
      void fake.take(frameTypes.open).then(() => fake.end());
      return fake.channel;
    });
    const { status, json } = await machine.write('a', 'x'.repeat(1_000_000));
    expect([status, json().message]).to.deep.equal([502, 'The sandbox was not found']);
  });
});

/** Answers every call with an error. */
async function refuseAll(fake: FakeAgent, code: () => number): Promise<void> {
  for (;;) {
    const { call } = await fake.take(frameTypes.open);
    fake.send(call, frameTypes.error, new ArgumentWriter().u8(code()).string('the reason').bytes());
  }
}

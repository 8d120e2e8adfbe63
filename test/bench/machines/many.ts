import { readFileSync } from 'node:fs';
import { endAll } from './calls.ts';
import {
  type MachineRow,
  megabytes,
  milliseconds,
  privateMemoryOf,
  processes,
  quantiles,
  timed,
  until,
} from './measured.ts';
import { containersOf, type Sandbox, type Subject, startRecords } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

const count = 100;

/** A hundred machines at once: their start, their memory, and the list beside one of records. */
export async function measureMany(subject: Subject, parent: string): Promise<Row[]> {
  const sandboxes: Sandbox[] = [];
  try {
    return [...(await measureIdle(subject, sandboxes)), await measureList(subject, parent)];
  } finally {
    await endAll(sandboxes);
    await until(async () => (await containersOf(subject.engine)).length === 0, 120);
  }
}

async function measureIdle(subject: Subject, sandboxes: Sandbox[]): Promise<Row[]> {
  const before = new Set(processes());
  const free = availableMemory();
  const [creation = 0] = await timed(1, () => createAll(subject, sandboxes));
  const fresh = processes().filter((pid) => !before.has(pid));
  const own = privateMemoryOf(fresh) / count;
  const host = (free - availableMemory()) / count;
  return [
    {
      what: `${count} machines at once`,
      bar: 'created in at most 15 s',
      measured: milliseconds(creation),
      met: creation <= 15_000,
    },
    {
      what: 'an idle machine: private memory of its processes; memory that the host lost for each',
      bar: 'at most 4 MB',
      measured: `${megabytes(own)}; ${megabytes(host)}`,
      met: own <= 4 * 2 ** 20,
    },
  ];
}

async function createAll({ Sandbox }: Subject, sandboxes: Sandbox[]): Promise<void> {
  const one = async () => {
    sandboxes.push(await Sandbox.create({ timeoutMs: 3_600_000, requestTimeoutMs: 60_000 }));
  };
  // All of them have an end before any failure is told: a late one would be left behind.
  const created = await Promise.allSettled(Array.from({ length: count }, one));
  const failed = created.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** The list of this server, and that of one with as many records and no machines, in turn. */
async function measureList(subject: Subject, parent: string): Promise<Row> {
  const records = await startRecords(parent);
  await Promise.all(Array.from({ length: count }, () => records.Sandbox.create({ timeoutMs: 3_600_000 })));
  const list = ({ url, key }: Pick<Subject, 'url' | 'key'>) =>
    fetch(`${url}/v1/sessions/sandboxes?limit=100`, { headers: { 'X-API-Key': key } }).then((answer) => answer.text());
  const times: { machines: number[]; records: number[] } = { machines: [], records: [] };
  for (let round = 0; round < 600; round++) {
    const [machine = 0] = await timed(1, () => list(subject));
    const [record = 0] = await timed(1, () => list(records));
    if (round < 100) continue;
    times.machines.push(machine);
    times.records.push(record);
  }
  await records.stop();
  const [machines, none] = [quantiles(times.machines), quantiles(times.records)];
  const ratio = machines.p50 / none.p50;
  return {
    what: `the list with ${count} machines against the list with as many records, p50`,
    bar: 'at most 1.1 times',
    measured: `${ratio.toFixed(2)} times (${milliseconds(machines.p50)}, ${milliseconds(none.p50)})`,
    met: ratio <= 1.1,
  };
}

/** Returns the memory that this machine can still give, in bytes. */
function availableMemory(): number {
  const [, kilobytes] = /MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

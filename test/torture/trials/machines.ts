import { setTimeout as delay } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { pino } from 'pino';
import { connectAgent } from '../../../app/machines/agent/agent.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { openDriver } from '../../../app/machines/open.ts';
import { randomFrom } from '../../bench/data.ts';
import { type Serving, serve } from '../../helpers/processes/process.ts';
import { apiKey } from '../model/client.ts';

export type MachineOptions = {
  file: string;
  kills: number;
  seconds: number;
  seed: number;
  /** the address of a container engine and an image that it has; without: plain processes */
  engine?: { address: string; image: string } | undefined;
  report?: (text: string) => void;
};

/** What the kills hit: how many machines were in each step of their lives. */
export type Steps = { begun: number; made: number; running: number; ended: number };

export type MachineResult = { seed: number; kills: number; created: number; steps: Steps; problems: string[] };

/** A sandbox whose create was answered, and whose kill was not asked for. */
type Known = { id: string; token: string; hasCommand: boolean };

type Trial = {
  options: MachineOptions;
  driver: Driver;
  random: () => number;
  /** by id */
  known: Map<string, Known>;
  /** the sandboxes whose kill was acknowledged */
  ended: Set<string>;
  /** how many requests of the clients were answered */
  answers: number;
  result: MachineResult;
};

/** How long records and machines may take to agree after a start. */
const patienceMilliseconds = 30_000;
const clients = 4;
const tag = 'survivor';

/**
 * Kills the server at random moments while clients create and kill sandboxes with machines. After
 * each start, records and machines must agree, what was acknowledged must be there, and commands
 * that ran must still run.
 */
export async function tortureMachines(options: MachineOptions): Promise<MachineResult> {
  const { file, kills, seconds, seed, report } = options;
  const steps = { begun: 0, made: 0, running: 0, ended: 0 };
  const result: MachineResult = { seed, kills: 0, created: 0, steps, problems: [] };
  const deadline = performance.now() + seconds * 1000;
  let server = await serveMachines(options);
  const driver = await driverOf(options);
  const trial: Trial = {
    options,
    driver,
    random: randomFrom(seed),
    known: new Map(),
    ended: new Set(),
    answers: 0,
    result,
  };
  try {
    while (result.kills < kills && performance.now() < deadline && result.problems.length === 0) {
      await killWhileWorking(trial, server);
      await countSteps(trial);
      server = await serveMachines(options);
      await verify(trial, server.url);
      report?.(`${result.kills} of ${kills} kills, ${result.created} sandboxes created`);
    }
  } finally {
    await server.stop('SIGKILL');
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
  }
  if (result.problems.length > 0) report?.(`the database is ${file}`);
  return result;
}

function serveMachines({ file, engine }: MachineOptions): Promise<Serving> {
  const settings = engine ? ['--engine', engine.address, '--image', engine.image] : [];
  const machines = ['--machines', engine ? 'docker' : 'process', ...settings];
  const env = { SANDPIT_API_KEY: apiKey, SANDPIT_LOG_LEVEL: 'error' };
  return serve(['--db', file, ...machines], { env });
}

/** Returns a driver that sees the machines of the server's database. */
async function driverOf({ file, engine }: MachineOptions): Promise<Driver> {
  const [instance] = rowsOf<{ id: string }>(file, 'select id from instance');
  const settings = { engine: engine?.address, msb: undefined, db: file };
  const log = pino({ level: 'silent' });
  return openDriver(engine ? 'docker' : 'process', settings, { instance: instance?.id ?? '', log });
}

async function killWhileWorking(trial: Trial, { url, stop }: Serving): Promise<void> {
  const { random, result } = trial;
  const working = Promise.all(Array.from({ length: clients }, () => work(trial, url)));
  // The first requests are slow, so the moment counts from an answer and not from the start.
  const enough = trial.answers + 1 + Math.floor(random() * 8);
  for (const end = performance.now() + patienceMilliseconds; trial.answers < enough && performance.now() < end; ) {
    await delay(2);
  }
  await delay(random() * 60);
  await stop('SIGKILL');
  result.kills++;
  await working;
}

/** Creates and kills sandboxes until the server is gone. */
async function work(trial: Trial, url: string): Promise<void> {
  const { known, random, result } = trial;
  for (;;) {
    const mayKill = [...known.values()];
    if (mayKill.length > 3 && random() < 0.6) {
      const { id } = mayKill[Math.floor(random() * mayKill.length)] as Known;
      known.delete(id);
      const answer = await call(url, 'DELETE', `/sandboxes/${id}`);
      if (answer === null) return;
      trial.answers++;
      if (answer.status === 204) trial.ended.add(id);
      else result.problems.push(`a kill was answered ${answer.status}`);
      continue;
    }
    const made = await call(url, 'POST', '/v2/sandboxes', { templateID: 'base', timeout: 3600 });
    if (made === null) return;
    trial.answers++;
    if (made.status !== 201) result.problems.push(`a create was answered ${made.status}`);
    else {
      const { sandboxID: id, envdAccessToken: token } = made.body as { sandboxID: string; envdAccessToken: string };
      result.created++;
      const hasCommand = await startCommand(trial, id).catch(() => false);
      known.set(id, { id, token, hasCommand });
    }
  }
}

/** Starts a command that outlives the server, through the agent itself. */
async function startCommand({ driver }: Trial, id: string): Promise<boolean> {
  const agent = await connectAgent(await driver.channel(id, AbortSignal.timeout(5000)));
  const args = ['sleep', '3600'];
  const common = { user: '', cwd: '', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0 };
  const events = startProcess(agent, { ...common, args, tag });
  const { value } = await events.next();
  agent.close();
  return value?.type === 'start';
}

type Answer = { status: number; body: unknown };

/** Returns null when the server is gone. */
async function call(url: string, method: string, path: string, body?: object, headers = {}): Promise<Answer | null> {
  const sent = { 'X-API-Key': apiKey, 'Content-Type': 'application/json', ...headers };
  try {
    const res = await fetch(url + path, { method, headers: sent, ...(body && { body: JSON.stringify(body) }) });
    const text = await res.text();
    return { status: res.status, body: text === '' ? null : JSON.parse(text) };
  } catch {
    return null;
  }
}

/** Counts in which step of their lives the kill has caught machines. */
async function countSteps({ driver, options, result }: Trial): Promise<void> {
  const exists = new Set((await driver.list()).map(({ id }) => id));
  const { steps } = result;
  for (const { id, isReady, status } of machinesIn(options.file)) {
    if (isReady === 0) steps[exists.has(id) ? 'made' : 'begun']++;
    else steps[status === 'active' ? 'running' : 'ended']++;
  }
}

type MachineRow = { id: string; isReady: 0 | 1; status: string | null };

function machinesIn(file: string): MachineRow[] {
  const join = 'machines m left join sandboxes s on s.id = m.sandbox_id';
  return rowsOf(file, `select m.sandbox_id as id, is_ready as isReady, s.status as status from ${join}`);
}

function activeIn(file: string): string[] {
  return rowsOf<{ id: string }>(file, "select id from sandboxes where status = 'active'").map(({ id }) => id);
}

function rowsOf<Row>(file: string, sql: string): Row[] {
  const db = new Database(file, { readonly: true });
  try {
    return db.prepare<[], Row>(sql).all();
  } finally {
    db.close();
  }
}

/** Adds what is wrong after a start to the problems. */
async function verify(trial: Trial, url: string): Promise<void> {
  const { known, result } = trial;
  let disagreement = '';
  for (const end = performance.now() + patienceMilliseconds; ; await delay(20)) {
    disagreement = await disagreementOf(trial);
    if (disagreement === '') break;
    if (performance.now() > end) return void result.problems.push(disagreement);
  }
  for (const id of activeIn(trial.options.file)) {
    if (trial.ended.has(id)) result.problems.push(`${id} runs although its kill was acknowledged`);
  }
  for (const { id, token, hasCommand } of known.values()) {
    const headers = { 'E2b-Sandbox-Id': id, 'X-Access-Token': token, 'Connect-Protocol-Version': '1' };
    const listed = await call(url, 'POST', '/process.Process/List', {}, headers);
    const tags = ((listed?.body as { processes?: { tag?: string }[] })?.processes ?? []).map((each) => each.tag);
    if (listed?.status !== 200) result.problems.push(`${id} was acknowledged and answers ${listed?.status}`);
    else if (hasCommand && !tags.includes(tag)) result.problems.push(`the command of ${id} is gone`);
  }
}

/** Returns how records and machines differ; empty if they agree. */
async function disagreementOf({ driver, options }: Trial): Promise<string> {
  const machines = (await driver.list()).filter(({ state }) => state === 'running');
  const [found, rows] = [textOf(machines), textOf(machinesIn(options.file))];
  const live = activeIn(options.file).toSorted().join(' ');
  if (found !== live) return `machines: ${found}; active sandboxes: ${live}`;
  return rows === live ? '' : `rows of machines: ${rows}; active sandboxes: ${live}`;
}

function textOf(machines: { id: string }[]): string {
  const ids = machines.map(({ id }) => id);
  return ids.toSorted().join(' ');
}

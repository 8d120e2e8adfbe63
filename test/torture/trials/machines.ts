import { setTimeout as delay } from 'node:timers/promises';
import { randomFrom } from '../../bench/data.ts';
import { type Serving, serve } from '../../helpers/processes/process.ts';
import { disagreementOf, recordsOf } from '../machines/agreement.ts';
import { checkPromises } from '../machines/promises.ts';
import { driverOf, type MachineOptions, type MachineResult, type Trial, verbNames } from '../machines/trial.ts';
import { work } from '../machines/verbs.ts';
import { apiKey } from '../model/client.ts';

/** How long records and machines may take to agree after a start. */
const patienceMilliseconds = 30_000;
const clients = 4;

/**
 * Kills the server at random moments while clients create, pause, resume, copy and kill sandboxes
 * with machines. After each start, records and machines must agree, what was acknowledged must be
 * there with its file, and commands that ran must still run.
 */
export async function tortureMachines(options: MachineOptions): Promise<MachineResult> {
  const { file, kills, seconds, report } = options;
  const deadline = performance.now() + seconds * 1000;
  let server = await serveMachines(options);
  const trial = newTrial(options, await driverOf(options));
  const { driver, result } = trial;
  try {
    while (result.kills < kills && performance.now() < deadline && result.problems.length === 0) {
      await killWhileWorking(trial, server);
      await countCaught(trial);
      server = await serveMachines(options);
      if (await agree(trial)) await checkPromises(trial, server.url);
      report?.(`${result.kills} of ${kills} kills, ${result.created} sandboxes created`);
    }
  } finally {
    await server.stop('SIGKILL');
    for (const { id } of await driver.list()) await driver.remove(id);
    for (const { ref } of await driver.snapshots()) await driver.removeSnapshot(ref);
    await driver.close();
  }
  if (result.problems.length > 0) report?.(`the database is ${file}`);
  return result;
}

function newTrial(options: MachineOptions, driver: Trial['driver']): Trial {
  const interrupted = Object.fromEntries(verbNames.map((verb) => [verb, 0])) as MachineResult['interrupted'];
  const caught = { unmade: 0, unready: 0, ended: 0, running: 0, unpaused: 0 };
  const result = { seed: options.seed, kills: 0, created: 0, interrupted, caught, problems: [] };
  const empty = { known: new Map(), kept: new Map(), ended: new Set<string>(), answers: 0 };
  return { options, driver, random: randomFrom(options.seed), ...empty, result };
}

function serveMachines({ file, engine }: MachineOptions): Promise<Serving> {
  const settings = engine ? ['--engine', engine.address, '--image', engine.image] : [];
  const machines = ['--machines', engine ? 'docker' : 'process', ...settings];
  const env = { SANDPIT_API_KEY: apiKey, SANDPIT_LOG_LEVEL: 'error' };
  return serve(['--db', file, ...machines], { env });
}

async function killWhileWorking(trial: Trial, { url, stop }: Serving): Promise<void> {
  const { random, result } = trial;
  const working = Promise.all(Array.from({ length: clients }, () => work(trial, url)));
  // The first requests are slow, so the moment counts from an answer and not from the start.
  const enough = trial.answers + 1 + Math.floor(random() * 12);
  for (const end = performance.now() + patienceMilliseconds; trial.answers < enough && performance.now() < end; ) {
    await delay(2);
  }
  await delay(random() * 60);
  await stop('SIGKILL');
  result.kills++;
  await working;
}

/** Counts in which step of their lives the kill has caught machines. */
async function countCaught({ driver, options, result: { caught } }: Trial): Promise<void> {
  const states = new Map((await driver.list()).map(({ id, state }) => [id, state]));
  for (const { id, isReady, status } of recordsOf(options.file)) {
    if (isReady === 0) caught[states.has(id) ? 'unready' : 'unmade']++;
    else if (status === 'active') caught.running++;
    else if (status !== 'paused') caught.ended++;
    else if (states.get(id) === 'running') caught.unpaused++;
  }
}

/** Waits until records and machines agree. Returns false, with a problem noted, if they do not. */
async function agree(trial: Trial): Promise<boolean> {
  for (const end = performance.now() + patienceMilliseconds; ; await delay(20)) {
    const disagreement = await disagreementOf(trial);
    if (disagreement === '') return true;
    if (performance.now() < end) continue;
    trial.result.problems.push(disagreement);
    return false;
  }
}

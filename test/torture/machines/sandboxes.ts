import { connectAgent } from '../../../app/machines/agent/agent.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import { call, type Kept, type Known, type Trial } from './trial.ts';

/** Seconds that outlive the trial. */
export const lifetime = 3600;
/** The tag of the command that each created sandbox runs. */
export const tag = 'survivor';
/** The file that each sandbox has, in its home. */
export const fileName = 'kept';

export type Started = { sandboxID: string; envdAccessToken: string };

/** Returns the body of an answer, and notes a problem if its status is not one of these. */
export async function expecting<T>(
  trial: Trial,
  statuses: number[],
  words: string,
  calling: ReturnType<typeof call>,
): Promise<T | null> {
  const { status, body } = await calling;
  if (statuses.includes(status)) return body as T;
  trial.result.problems.push(`${words} was answered ${status} ${JSON.stringify(body)}`);
  return null;
}

/** Returns the sandboxes in these states that no client works with. */
export function idle({ known }: Trial, ...states: Known['state'][]): Known[] {
  return [...known.values()].filter(({ isBusy, state }) => !isBusy && states.includes(state));
}

/** Returns the snapshots that no client works with. */
export function idleSnapshots({ kept }: Trial): Kept[] {
  return [...kept.values()].filter(({ isBusy }) => !isBusy);
}

/** Returns one of several, which is busy from now on. */
export function take<T extends { isBusy: boolean }>({ random }: Trial, choice: T[]): T {
  const taken = choice[Math.floor(random() * choice.length)] as T;
  taken.isBusy = true;
  return taken;
}

/** Notes what a sandbox is from now on. */
export function note(sandbox: Known, state: Known['state'], keepsCommand = true): void {
  sandbox.state = state;
  sandbox.hasCommand &&= keepsCommand;
}

/** Adds a sandbox with the files of another to those that are known. */
export function addCopy(trial: Trial, { sandboxID: id, envdAccessToken: token }: Started, content: string): void {
  const plain = { hasCommand: false, keepsMemory: true, state: 'active', isBusy: false } as const;
  trial.known.set(id, { id, token, content, ...plain });
}

/** Lets a sandbox run again, and no longer pause soon. */
export async function resume(trial: Trial, url: string, sandbox: Known): Promise<void> {
  const path = `/v2/sandboxes/${sandbox.id}/connect`;
  note(sandbox, 'unsure');
  const answer = call(url, 'POST', path, { timeout: lifetime });
  if (await expecting(trial, [200, 201], 'a resume', answer)) note(sandbox, 'active');
}

/** Starts a sandbox from a snapshot. */
export async function startFrom(trial: Trial, url: string, { id, content }: Kept): Promise<void> {
  const body = { templateID: id, timeout: lifetime, autoPause: true };
  const answer = call(url, 'POST', '/v2/sandboxes', body);
  const started = await expecting<Started>(trial, [201], 'a start from a snapshot', answer);
  if (started) addCopy(trial, started, content);
}

/**
 * Writes a sandbox's file and starts a command that outlives the server, through the agent itself.
 */
export async function prepare({ driver }: Trial, id: string, content: string): Promise<boolean> {
  const agent = await connectAgent(await driver.channel(id, AbortSignal.timeout(10_000)));
  const args = ['sh', '-c', `echo ${content} > ${fileName} && echo && exec sleep ${lifetime}`];
  const common = { user: '', cwd: '', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0 };
  const events = startProcess(agent, { ...common, args, tag });
  for await (const { type } of events) {
    if (type === 'start') continue;
    agent.close();
    return type === 'stdout';
  }
  return false;
}

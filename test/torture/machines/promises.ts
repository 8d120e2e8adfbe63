import { type Recorded, recordsOf } from './agreement.ts';
import { expecting, fileName, idle, idleSnapshots, resume, startFrom, tag, take } from './sandboxes.ts';
import { call, type Known, rowsOf, type Trial } from './trial.ts';

/** Adds to the problems what was acknowledged and is not true after a start. */
export async function checkPromises(trial: Trial, url: string): Promise<void> {
  const { known, kept, options } = trial;
  const records = new Map(recordsOf(options.file).map((record) => [record.id, record]));
  const snapshots = rowsOf<{ id: string }>(options.file, 'select id from snapshots').map(({ id }) => id);
  checkEnded(trial, [...records.keys(), ...snapshots]);
  for (const sandbox of known.values()) checkState(trial, sandbox, records.get(sandbox.id));
  for (const snapshot of kept.values()) {
    snapshot.isBusy = false;
    if (!snapshots.includes(snapshot.id)) trial.result.problems.push(`the snapshot ${snapshot.id} is gone`);
  }
  await checkSnapshot(trial, url);
  // One that was paused, and one whose verb had no answer.
  for (const state of ['paused', 'unsure'] as const) {
    const [sandbox] = idle(trial, state);
    if (sandbox) await resume(trial, url, sandbox);
  }
  for (const sandbox of idle(trial, 'active')) await checkContent(trial, url, sandbox);
  await removeUnknown(trial, url, [...records.keys()], snapshots);
}

function checkEnded({ ended, result }: Trial, ids: string[]): void {
  for (const id of ids) if (ended.has(id)) result.problems.push(`${id} is there although its end was acknowledged`);
}

/** Returns the events of a sandbox, in words. */
function eventsOf(file: string, id: string): string {
  const sql = `select kind || ' ' || details as text from events where subject = '${id}' order by id`;
  return rowsOf<{ text: string }>(file, sql)
    .map(({ text }) => text)
    .join(', ');
}

function checkState({ result, options }: Trial, sandbox: Known, record: Recorded | undefined): void {
  const { id, state } = sandbox;
  sandbox.isBusy = false;
  if (record === undefined)
    result.problems.push(`${id} was acknowledged as ${state} and is gone: ${eventsOf(options.file, id)}`);
  else if (state !== 'unsure' && record.status !== state)
    result.problems.push(`${id} was acknowledged as ${state} and is ${record.status}`);
}

async function checkContent(trial: Trial, url: string, { id, token, content, hasCommand }: Known): Promise<void> {
  const headers = { 'E2b-Sandbox-Id': id, 'X-Access-Token': token, 'Connect-Protocol-Version': '1' };
  const read = call(url, 'GET', `/files?path=${fileName}`, undefined, headers);
  const text = await expecting<string>(trial, [200], `the file of ${id}`, read);
  if (text !== null && text !== `${content}\n`) trial.result.problems.push(`the file of ${id} holds '${text}'`);
  const asked = call(url, 'POST', '/process.Process/List', {}, headers);
  const listed = await expecting<{ processes?: { tag?: string }[] }>(trial, [200], `${id}'s list`, asked);
  const tags = listed?.processes?.map((each) => each.tag) ?? [];
  if (listed && hasCommand && !tags.includes(tag)) trial.result.problems.push(`the command of ${id} is gone`);
}

async function checkSnapshot(trial: Trial, url: string): Promise<void> {
  const choice = idleSnapshots(trial);
  if (choice.length === 0) return;
  const snapshot = take(trial, choice);
  await startFrom(trial, url, snapshot);
  snapshot.isBusy = false;
}

/** Removes what was made without an answer, so that it does not become ever more. */
async function removeUnknown(trial: Trial, url: string, sandboxes: string[], snapshots: string[]): Promise<void> {
  for (const id of sandboxes.filter((each) => !trial.known.has(each)))
    await expecting(trial, [204], 'a kill', call(url, 'DELETE', `/sandboxes/${id}`));
  for (const id of snapshots.filter((each) => !trial.kept.has(each)))
    await expecting(trial, [204], 'a deletion of a snapshot', call(url, 'DELETE', `/templates/${id}`));
}

import {
  addCopy,
  expecting,
  idle,
  idleSnapshots,
  lifetime,
  note,
  prepare,
  resume,
  type Started,
  startFrom,
  take,
} from './sandboxes.ts';
import { call, ServerGone, type Trial, type Verb, verbNames } from './trial.ts';

/** The most sandboxes and snapshots that clients keep. */
const maxSandboxes = 7;
const maxSnapshots = 4;

/** Does one thing after another until the server is gone, and counts in what it was killed. */
export async function work(trial: Trial, url: string): Promise<void> {
  for (;;) {
    const verb = chooseVerb(trial);
    try {
      await verbs[verb](trial, url);
      trial.answers += 1;
    } catch (error) {
      if (!(error instanceof ServerGone)) throw error;
      trial.result.interrupted[verb] += 1;
      return;
    }
  }
}

function chooseVerb(trial: Trial): Verb {
  const { known, kept, random } = trial;
  const hasRoom = known.size < maxSandboxes;
  const hasActive = idle(trial, 'active').length > 0;
  const hasSnapshot = idleSnapshots(trial).length > 0;
  const isPossible: Record<Verb, boolean> = {
    create: hasRoom,
    kill: hasActive && known.size > 4,
    pause: hasActive,
    resume: idle(trial, 'paused', 'unsure').length > 0,
    expire: hasActive,
    snapshot: hasActive && kept.size < maxSnapshots,
    fork: hasActive && hasRoom,
    'start from a snapshot': hasSnapshot && hasRoom,
    'delete a snapshot': hasSnapshot && kept.size > 1,
  };
  const possible = verbNames.filter((verb) => isPossible[verb]);
  return possible[Math.floor(random() * possible.length)] ?? 'create';
}

/** They reject with ServerGone, and leave busy what they worked with. */
const verbs: Record<Verb, (trial: Trial, url: string) => Promise<void>> = {
  create: async (trial, url) => {
    const keepsMemory = trial.random() < 0.7;
    const body = { templateID: 'base', timeout: lifetime, autoPause: true, autoPauseMemory: keepsMemory };
    const started = await expecting<Started>(trial, [201], 'a create', call(url, 'POST', '/v2/sandboxes', body));
    if (started === null) return;
    trial.result.created += 1;
    const { sandboxID: id, envdAccessToken: token } = started;
    if (!(await prepare(trial, id, id).catch(() => false))) return;
    trial.known.set(id, { id, token, content: id, hasCommand: true, keepsMemory, state: 'active', isBusy: false });
  },
  kill: async (trial, url) => {
    const { id } = take(trial, idle(trial, 'active'));
    trial.known.delete(id);
    await expecting(trial, [204], 'a kill', call(url, 'DELETE', `/sandboxes/${id}`));
    trial.ended.add(id);
  },
  pause: async (trial, url) => {
    const sandbox = take(trial, idle(trial, 'active'));
    const memory = trial.random() < 0.6;
    note(sandbox, 'unsure', memory);
    await expecting(trial, [204], 'a pause', call(url, 'POST', `/sandboxes/${sandbox.id}/pause`, { memory }));
    note(sandbox, 'paused');
    sandbox.isBusy = false;
  },
  resume: async (trial, url) => {
    const sandbox = take(trial, idle(trial, 'paused', 'unsure'));
    await resume(trial, url, sandbox);
    sandbox.isBusy = false;
  },
  expire: async (trial, url) => {
    const sandbox = take(trial, idle(trial, 'active'));
    note(sandbox, 'unsure', sandbox.keepsMemory);
    const path = `/sandboxes/${sandbox.id}/timeout`;
    await expecting(trial, [204], 'a timeout', call(url, 'POST', path, { timeout: 1 }));
    sandbox.isBusy = false;
  },
  snapshot: async (trial, url) => {
    const sandbox = take(trial, idle(trial, 'active'));
    const answer = call(url, 'POST', `/sandboxes/${sandbox.id}/snapshots`, {});
    const taken = await expecting<{ snapshotID: string }>(trial, [201], 'a snapshot', answer);
    const id = taken?.snapshotID.replace(/:.*/, '');
    if (id) trial.kept.set(id, { id, content: sandbox.content, isBusy: false });
    sandbox.isBusy = false;
  },
  fork: async (trial, url) => {
    const sandbox = take(trial, idle(trial, 'active'));
    const answer = call(url, 'POST', `/sandboxes/${sandbox.id}/fork`, { timeout: lifetime, count: 2 });
    const results = await expecting<{ sandbox?: Started }[]>(trial, [201], 'a fork', answer);
    for (const result of results ?? []) {
      if (result.sandbox) addCopy(trial, result.sandbox, sandbox.content);
      else trial.result.problems.push(`a fork was answered ${JSON.stringify(result)}`);
    }
    sandbox.isBusy = false;
  },
  'start from a snapshot': async (trial, url) => {
    const snapshot = take(trial, idleSnapshots(trial));
    await startFrom(trial, url, snapshot);
    snapshot.isBusy = false;
  },
  'delete a snapshot': async (trial, url) => {
    const { id } = take(trial, idleSnapshots(trial));
    trial.kept.delete(id);
    await expecting(trial, [204], 'a deletion of a snapshot', call(url, 'DELETE', `/templates/${id}`));
    trial.ended.add(id);
  },
};

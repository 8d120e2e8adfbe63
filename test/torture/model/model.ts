import { isDeepStrictEqual } from 'node:util';

/** A sandbox as `VM` of the contract. */
export type Vm = Record<string, unknown> & { vm_id: string; metadata: { key: string } };

/** What a request makes of a sandbox: members that become a value, and times that become "then" plus milliseconds. */
export type Change = { sets: Record<string, unknown>; moves: Record<string, number> };

/** A change that was asked for and not answered: it happened wholly or not at all. */
export type Doubt = { change: Change; sentAt: number; until: number };

type Entry = { state: Vm; doubt: Doubt | null; staleKeys: string[] };

/** What every sandbox must be by what the server has acknowledged, and what it may be by what it has not answered. */
export class Model {
  readonly entries = new Map<string, Entry>();
  /** What was created without an answer, by the key in its metadata. */
  readonly creations = new Map<string, Doubt>();
  /** The sandboxes that anything was asked of since the last `forgetTouched`, the latest last. */
  readonly touched = new Set<string>();

  /** Takes down what the server acknowledged, or was found to have done. */
  settle(state: Vm): void {
    const known = this.entries.get(state.vm_id);
    const stale = known && known.state.metadata.key !== state.metadata.key ? [known.state.metadata.key] : [];
    this.entries.set(state.vm_id, { state, doubt: null, staleKeys: [...(known?.staleKeys ?? []), ...stale] });
    this.touch(state.vm_id);
  }

  /** Takes down that the server owes an answer, about a sandbox or, being null, about one that is new. */
  doubt(id: string | null, doubt: Doubt): void {
    if (id === null) return void this.creations.set((doubt.change.sets.metadata as Vm['metadata']).key, doubt);
    const entry = this.entries.get(id);
    if (entry) entry.doubt = doubt;
    this.touch(id);
  }

  touch(id: string): void {
    this.touched.delete(id);
    this.touched.add(id);
  }

  forgetTouched(): void {
    for (const id of this.touched) this.entries.get(id)?.staleKeys.splice(0);
    this.touched.clear();
  }
}

/** What a verdict found: `lost` was acknowledged and is not there, `half` is neither what was before nor after. */
export type Verdict = { lost: string[]; half: string[] };

/** Holds every sandbox that was found against the model, and settles what was in doubt. */
export function judge(model: Model, found: Map<string, Vm>): Verdict {
  const verdict: Verdict = { lost: [], half: [] };
  for (const [id, entry] of model.entries) {
    const { state, doubt } = entry;
    const now = found.get(id);
    if (isDeepStrictEqual(now, state)) entry.doubt = null;
    else if (!now) verdict.lost.push(`${id} is not there`);
    else if (doubt && isAfter(state, doubt, now)) model.settle(now);
    else verdict[doubt ? 'half' : 'lost'].push(`${id} is ${JSON.stringify(now)}, not ${JSON.stringify(state)}`);
  }
  for (const [id, now] of found) if (!model.entries.has(id)) judgeCreation(model, now, verdict);
  model.creations.clear();
  return verdict;
}

function judgeCreation(model: Model, now: Vm, verdict: Verdict): void {
  const doubt = model.creations.get(now.metadata.key);
  if (doubt && isAfter({}, doubt, now)) model.settle(now);
  else verdict.half.push(`${now.vm_id} is there and was ${doubt ? 'asked for otherwise' : 'refused'}`);
}

/** Returns whether `found` is what `before` was with the whole change, made between its sending and the end of the wait. */
export function isAfter(before: Partial<Vm>, { change, sentAt, until }: Doubt, found: Vm): boolean {
  const expected: Record<string, unknown> = { ...idsOf(found), ...before, ...change.sets };
  const thens = Object.entries(change.moves).map(([name, offset]) => {
    expected[name] = found[name];
    return Date.parse(String(found[name])) - offset;
  });
  // All its times come from one reading of the clock.
  return (
    new Set(thens).size <= 1 &&
    thens.every((then) => then >= sentAt && then <= until) &&
    isDeepStrictEqual(found, expected)
  );
}

function idsOf({ vm_id, session_id, sandbox_id }: Vm): Record<string, unknown> {
  return { vm_id, session_id, sandbox_id };
}

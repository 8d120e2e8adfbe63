import { isDeepStrictEqual } from 'node:util';

/** A sandbox as `VM` of the contract. */
export type Vm = Record<string, unknown> & { vm_id: string; metadata: { key: string } };

/**
 * The effect of a request on a sandbox: members with new values, and times given as milliseconds
 * after the request.
 */
export type Change = { sets: Record<string, unknown>; moves: Record<string, number> };

/** A change without a response: it must have happened completely or not at all. */
export type Doubt = { change: Change; sentAt: number; until: number };

type Entry = { state: Vm; doubt: Doubt | null; staleKeys: string[] };

/**
 * The state that every sandbox must have after the acknowledged changes, and the states that it
 * may have after changes without a response.
 */
export class Model {
  readonly entries = new Map<string, Entry>();
  /** Sandboxes created without a response, by the key in their metadata. */
  readonly creations = new Map<string, Doubt>();
  /** The sandboxes that requests addressed since the last `forgetTouched`, the latest last. */
  readonly touched = new Set<string>();

  /** Records a change that the server acknowledged, or was found to have made. */
  settle(state: Vm): void {
    const known = this.entries.get(state.vm_id);
    const stale = known && known.state.metadata.key !== state.metadata.key ? [known.state.metadata.key] : [];
    this.entries.set(state.vm_id, { state, doubt: null, staleKeys: [...(known?.staleKeys ?? []), ...stale] });
    this.touch(state.vm_id);
  }

  /** Records a request without a response, for a sandbox or (if null) for a new one. */
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

/**
 * A verdict: `lost` was acknowledged and is missing, `half` is neither the state before nor after
 * a change.
 */
export type Verdict = { lost: string[]; half: string[] };

/** Compares every sandbox found with the model, and settles changes in doubt. */
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

/**
 * Returns whether `found` is `before` with the complete change, made between sending and the end
 * of the wait.
 */
export function isAfter(before: Partial<Vm>, { change, sentAt, until }: Doubt, found: Vm): boolean {
  const expected: Record<string, unknown> = { ...idsOf(found), ...before, ...change.sets };
  const thens = Object.entries(change.moves).map(([name, offset]) => {
    expected[name] = found[name];
    return Date.parse(String(found[name])) - offset;
  });
  // All times of a change come from one reading of the clock.
  return (
    new Set(thens).size <= 1 &&
    thens.every((then) => then >= sentAt && then <= until) &&
    isDeepStrictEqual(found, expected)
  );
}

function idsOf({ vm_id, session_id, sandbox_id }: Vm): Record<string, unknown> {
  return { vm_id, session_id, sandbox_id };
}

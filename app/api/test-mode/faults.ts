import { setTimeout as delay } from 'node:timers/promises';
import { patternOf } from '../../../spec/responses.ts';
import type { components } from '../../../spec/types.gen.ts';

type Schemas = components['schemas'];
export type Fault = Schemas['TestFault'];

/** `userId` is null for a fault that applies to every request. */
type ActiveFault = {
  fault: Fault;
  userId: number | null;
  method: string | undefined;
  path: RegExp;
  remaining: number;
};

/** The faults to inject. Of those that match a request, the one that was added first applies. */
export class Faults {
  #active: ActiveFault[] = [];

  /** The requests that are being delayed, with their sender. */
  readonly #delayed = new Map<AbortController, number | null>();

  /** Adds a fault for a user's requests; with null, for all requests. */
  add(fault: Fault, userId: number | null): void {
    this.#active.push({
      fault,
      userId,
      method: methodOf(fault.method),
      path: patternWithStars(fault.path ?? '*'),
      remaining: fault.times ?? 1,
    });
  }

  /**
   * Returns the faults that apply to a user's requests, with how often they remain; with null, all
   * faults.
   */
  list(userId: number | null): Schemas['TestFaults']['faults'] {
    return this.#active
      .filter((active) => active.userId === null || belongsTo(active, userId))
      .map(({ fault, remaining }) => ({ ...fault, times: remaining }));
  }

  /** Removes the faults that a user added; with null, all faults. */
  clear(userId: number | null): void {
    this.#active = this.#active.filter((active) => !belongsTo(active, userId));
  }

  /**
   * Waits in real time. Resolves to whether the request should go on: false after `cancelDelays`.
   */
  async delay(seconds: number, userId: number | null): Promise<boolean> {
    const cancel = new AbortController();
    this.#delayed.set(cancel, userId);
    try {
      return await delay(seconds * 1000, true, { ref: false, signal: cancel.signal });
    } catch {
      return false;
    } finally {
      this.#delayed.delete(cancel);
    }
  }

  /**
   * Cancels the delays of a user's requests (with null, of all): the test that sent them is over.
   */
  cancelDelays(userId: number | null): void {
    for (const [cancel, sender] of this.#delayed) if (userId === null || userId === sender) cancel.abort();
  }

  /**
   * Returns the fault that applies to this request and counts it as used once. `userId` is null
   * for a request without a valid credential.
   */
  take(method: string, path: string, userId: number | null): Fault | undefined {
    const found = this.#active.find(
      (active) =>
        (active.method ?? method) === method && active.path.test(path) && (active.userId ?? userId) === userId,
    );
    if (!found) return undefined;
    if (--found.remaining === 0) this.#active = this.#active.filter((active) => active !== found);
    return found.fault;
  }
}

function belongsTo(active: ActiveFault, userId: number | null): boolean {
  return userId === null || active.userId === userId;
}

/** Returns the method that a fault or a search names, in upper case; undefined for any method. */
export function methodOf(name = '*'): string | undefined {
  return name === '*' ? undefined : name.toUpperCase();
}

/** Returns the pattern of a path of the contract in which `*` stands for any text. */
export function patternWithStars(path: string): RegExp {
  return new RegExp(patternOf(path).source.replaceAll('\\*', '.*'));
}

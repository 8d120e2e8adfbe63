import { setTimeout as delay } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { isObject, parseJson } from '../../../db/json/json.ts';
import { patternOf } from '../../../spec/responses.ts';
import type { components } from '../../../spec/types.gen.ts';
import { HttpError, ValidationFailure } from '../../errors.ts';

type Schemas = components['schemas'];
export type Fault = Schemas['TestFault'];
type Active = { fault: Fault; user: number | null; method: string | undefined; path: RegExp; remaining: number };

/** What is to go wrong, and how often: of those that match a request, the one that was asked for first. */
export class Faults {
  #active: Active[] = [];

  readonly #waiting = new Map<AbortController, number | null>();

  /** With a user, only that user's requests go wrong; with null, anybody's. */
  add(fault: Fault, user: number | null): void {
    this.#active.push({
      fault,
      user,
      method: methodOf(fault.method),
      path: patternWithStars(fault.path ?? '*'),
      remaining: fault.times ?? 1,
    });
  }

  /** Returns those that are still to happen, and how often: to a user, or with null all. */
  list(user: number | null): Schemas['TestFaults']['faults'] {
    return this.#active
      .filter((active) => active.user === null || isOf(active, user))
      .map(({ fault, remaining }) => ({ ...fault, times: remaining }));
  }

  /** Forgets a user's own faults, or with null all. */
  clear(user: number | null): void {
    this.#active = this.#active.filter((active) => !isOf(active, user));
  }

  /** Waits by the machine's clock; returns whether the request is to go on. */
  async wait(seconds: number, user: number | null): Promise<boolean> {
    const stop = new AbortController();
    this.#waiting.set(stop, user);
    try {
      return await delay(seconds * 1000, true, { ref: false, signal: stop.signal });
    } catch {
      return false;
    } finally {
      this.#waiting.delete(stop);
    }
  }

  /** Ends the requests that wait, a user's own or with null all: a test that is over sent them. */
  giveUp(user: number | null): void {
    for (const [stop, of] of this.#waiting) if (user === null || user === of) stop.abort();
  }

  /** Returns what is to happen to this request of a user, or of nobody known, which counts as one time. */
  take(method: string, path: string, user: number | null): Fault | undefined {
    const found = this.#active.find(
      (a) => (a.method ?? method) === method && a.path.test(path) && (a.user ?? user) === user,
    );
    if (!found) return undefined;
    if (--found.remaining === 0) this.#active = this.#active.filter((active) => active !== found);
    return found.fault;
  }
}

function isOf(active: { user: number | null }, user: number | null): boolean {
  return user === null || active.user === user;
}

/** Returns the method that a fault or a search names; undefined where any will do. */
export function methodOf(name = '*'): string | undefined {
  return name === '*' ? undefined : name.toUpperCase();
}

/** As in the contract, and `*` stands for anything. */
export function patternWithStars(path: string): RegExp {
  return new RegExp(patternOf(path).source.replaceAll('\\*', '.*'));
}

const explanation = 'Injected by POST /_test/faults';

/** Sends the body of the test's own, as what stands before a server sends it, whatever the contract says. */
export function sendRaw(res: Response, { status = 500, headers = {}, body = '' }: Fault): void {
  const all = { 'Content-Type': 'text/plain; charset=utf-8', ...headers };
  for (const [name, value] of Object.entries(all)) res.setHeader(name, value);
  res.status(status).end(Buffer.from(body));
}

/** Returns the error that is answered with a status, in the shape that the contract gives it; null where there is none. */
export function errorOf({ status, headers: own = {}, ...fault }: Fault): Error | null {
  if (status === undefined) return null;
  if (status === 422 && Object.keys(own).length === 0) {
    return new ValidationFailure([{ type: 'value_error', loc: ['query'], msg: explanation, input: null }]);
  }
  const challenge = status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {};
  return new HttpError(status, explanation, { ...challenge, ...retryHeader({ status, ...fault }), ...own });
}

function retryHeader({ status, retry_after: retryAfter }: Fault): Record<string, string> {
  const seconds = retryAfter ?? (status === 429 || status === 503 ? 1 : undefined);
  return seconds === undefined ? {} : { 'Retry-After': String(seconds) };
}

/** Has the answer, whatever it will be, lack a member or break off half-way; a stream, with its first event. */
export function spoilAnswer(req: Request, res: Response, { omit, connection }: Fault): void {
  if (omit === undefined && connection !== 'cut') return;
  const { write, end } = res;
  const breakOff = (body: Buffer) => {
    if (body.length === 0) req.socket.destroy();
    else write.call(res, body.subarray(0, Math.ceil(body.length / 2)), 'utf8', () => req.socket.destroy());
  };
  if (connection === 'cut') {
    res.write = ((chunk: string | Buffer) => {
      // What begins a stream is no event.
      if (!res.headersSent) return write.call(res, chunk, 'utf8');
      breakOff(bufferOf(chunk));
      return true;
    }) as typeof res.write;
  }
  res.end = ((chunk?: string | Buffer) => {
    const body = omit === undefined ? bufferOf(chunk) : without(omit, bufferOf(chunk));
    if (!res.headersSent) res.setHeader('Content-Length', body.length);
    if (connection === 'cut') breakOff(body);
    else end.call(res, body, 'utf8');
    return res;
  }) as typeof res.end;
}

function bufferOf(chunk: string | Buffer = ''): Buffer {
  return Buffer.from(chunk as string);
}

/** Leaves the member out of a JSON object, or of every object in an array. Other bodies stay as they are. */
function without(name: string, body: Buffer): Buffer {
  try {
    const value = parseJson(body.toString(), Number.POSITIVE_INFINITY);
    for (const item of Array.isArray(value) ? value : [value]) if (isObject(item)) delete item[name];
    return Buffer.from(JSON.stringify(value));
  } catch {
    return body;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { isObject, parseJson } from '../../db/json.ts';
import { patternOf } from '../../spec/responses.ts';
import type { components } from '../../spec/types.gen.ts';
import { HttpError } from '../errors.ts';
import { ValidationFailure } from '../validation.ts';

type Schemas = components['schemas'];
export type Fault = Schemas['TestFault'];
type Active = { fault: Fault; method: string | undefined; path: RegExp; remaining: number };

/** What is to go wrong, and how often: of those that match a request, the one that was asked for first. */
export class Faults {
  #active: Active[] = [];

  #waiting = new AbortController();

  add(fault: Fault): void {
    this.#active.push({
      fault,
      method: fault.method === '*' ? undefined : fault.method?.toUpperCase(),
      path: patternWithStars(fault.path ?? '*'),
      remaining: fault.times ?? 1,
    });
  }

  /** Returns those that are still to happen, and how often. */
  list(): Schemas['TestFaults']['faults'] {
    return this.#active.map(({ fault, remaining }) => ({ ...fault, times: remaining }));
  }

  clear(): void {
    this.#active = [];
  }

  /** Waits by the machine's clock; returns whether the request is to go on. */
  wait(seconds: number): Promise<boolean> {
    return delay(seconds * 1000, true, { ref: false, signal: this.#waiting.signal }).catch(() => false);
  }

  /** Has nothing that waits go on: it was sent by a test that is over. */
  giveUp(): void {
    this.#waiting.abort();
    this.#waiting = new AbortController();
  }

  /** Returns what is to happen to this request, which counts as one time. */
  take(method: string, path: string): Fault | undefined {
    const found = this.#active.find((a) => (a.method ?? method) === method && a.path.test(path));
    if (!found) return undefined;
    if (--found.remaining === 0) this.#active = this.#active.filter((active) => active !== found);
    return found.fault;
  }
}

/** As in the contract, and `*` stands for anything. */
function patternWithStars(path: string): RegExp {
  return new RegExp(patternOf(path).source.replaceAll('\\*', '.*'));
}

const explanation = 'Injected by POST /_test/faults';

/** Returns the error that is answered with a status, in the shape that the contract gives it. */
export function errorOf({ status, retry_after: retryAfter }: Fault): Error | null {
  if (status === undefined) return null;
  if (status === 422) {
    return new ValidationFailure([{ type: 'value_error', loc: ['query'], msg: explanation, input: null }]);
  }
  const seconds = retryAfter ?? (status === 429 || status === 503 ? 1 : undefined);
  const headers = {
    ...(seconds !== undefined && { 'Retry-After': String(seconds) }),
    ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
  };
  return new HttpError(status, explanation, headers);
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

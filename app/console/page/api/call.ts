/** What signs requests: an API key, or an access token. */
export type Credential = { kind: 'key' | 'token'; secret: string };

/** An answer that says no, or none at all. The message is for the user. */
export class ApiError extends Error {
  override name = 'ApiError';
  /** 0: the server could not be reached */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type Query = Record<string, string | number | boolean | readonly string[] | null | undefined>;

export type Options = {
  query?: Query;
  json?: unknown;
  form?: URLSearchParams;
  headers?: Record<string, string>;
  body?: BodyInit;
  signal?: AbortSignal;
};

export type Answer<T> = { body: T; headers: Headers };

/** Returns the address of a path of the API, which is one level above the page. */
export function addressOf(path: string, query: Query = {}): string {
  const address = new URL(`../${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) address.searchParams.append(name, String(each));
  }
  return address.href;
}

export function signed(credential: Credential | null): Record<string, string> {
  if (credential === null) return {};
  const { kind, secret } = credential;
  return kind === 'key' ? { 'X-API-Key': secret } : { Authorization: `Bearer ${secret}` };
}

/** Sends a request. Rejects with ApiError unless the answer's status is 2xx. */
export async function send(
  credential: Credential | null,
  method: string,
  path: string,
  { query, json, form, headers, body, signal }: Options = {},
): Promise<Response> {
  const given = json === undefined ? (form ?? body ?? null) : JSON.stringify(json);
  const type = json === undefined ? {} : { 'Content-Type': 'application/json' };
  let answer: Response;
  try {
    answer = await fetch(addressOf(path, query), {
      method,
      headers: { ...signed(credential), ...type, ...headers },
      body: given,
      signal: signal ?? null,
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'The server does not answer. Is it running?');
  }
  if (!answer.ok) throw new ApiError(answer.status, await wordsOf(answer));
  return answer;
}

/** Sends a request and reads its JSON; null without a body. */
export async function callWith<T>(
  credential: Credential | null,
  method: string,
  path: string,
  options: Options = {},
): Promise<Answer<T>> {
  const answer = await send(credential, method, path, options);
  const text = await answer.text();
  return { body: (text === '' ? null : JSON.parse(text)) as T, headers: answer.headers };
}

type Problem = { loc?: unknown[]; msg?: string };
type Failure = { detail?: string | Problem[]; message?: string };

/** Returns the words of an answer that says no: FastAPI's `detail`, or E2B's `message`. */
async function wordsOf(answer: Response): Promise<string> {
  const text = await answer.text().catch(() => '');
  try {
    const { detail, message } = JSON.parse(text) as Failure;
    if (typeof detail === 'string') return detail;
    if (Array.isArray(detail)) return detail.map(problem).join('; ');
    if (typeof message === 'string') return message;
  } catch {
    // It is no JSON: a proxy in between may have written it.
  }
  return `The server answered ${answer.status}`;
}

function problem({ loc = [], msg = '' }: Problem): string {
  const place = loc.slice(1).join('.');
  return place === '' ? msg : `${place}: ${msg}`;
}

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { contains } from '../../db/metadata.ts';
import { closeNow, listen } from './listen.ts';

export type Listed = JsonObject & { sandbox_id: string; metadata: JsonObject; status: string; end_at: string | null };

/** A minimal server of another implementation, with an oddity of its own. */
export type Other = {
  url: string;
  /** newest first */
  sandboxes: Listed[];
  active: () => number;
  close: () => void;
};

/** Called before each response. Returns true if it has responded itself, or never will. */
export type Oddity = (req: IncomingMessage, res: ServerResponse, other: Other) => boolean | Promise<boolean>;

/**
 * Starts the server. The API key `second` belongs to an account without sandboxes, every other
 * credential to the one that owns them.
 */
export async function otherServer(oddity: Oddity = () => false, metadata: JsonObject[] = []): Promise<Other> {
  const server = createServer(async (req, res) => {
    if (!(await oddity(req, res, other))) await answer(req, res, other);
  });
  const port = await listen(server);
  const other: Other = {
    url: `http://127.0.0.1:${port}`,
    sandboxes: [],
    active: () => other.sandboxes.filter(({ status }) => status === 'active').length,
    close: () => closeNow(server),
  };
  for (const one of metadata) add(other, one);
  return other;
}

/** Adds a sandbox; returns its id. */
export function add({ sandboxes }: Other, metadata: JsonObject): string {
  const sandbox_id = randomUUID();
  const startedAt = Date.UTC(2025, 0, 18) + sandboxes.length;
  sandboxes.unshift({
    sandbox_id,
    template_id: null,
    name: 'default',
    metadata,
    status: 'active',
    started_at: new Date(startedAt).toISOString(),
    end_at: new Date(startedAt + 3e5).toISOString(),
  });
  return sandbox_id;
}

/** Answers JSON. */
export function json(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

async function answer(req: IncomingMessage, res: ServerResponse, other: Other): Promise<void> {
  const { pathname, searchParams } = new URL(req.url ?? '', other.url);
  const route = `${req.method} ${pathname}`;
  if (route === 'GET /v1/sessions/sandboxes')
    return list(res, req.headers['x-api-key'] === 'second' ? [] : other.sandboxes, searchParams);
  if (route === 'POST /v1/vms') {
    const { metadata } = parseJson(await text(req)) as { metadata: JsonObject };
    return json(res, 201, { vm_id: add(other, metadata) });
  }
  const found = other.sandboxes.find(({ sandbox_id }) => route === `DELETE /v1/vms/${sandbox_id}`);
  if (!found) return json(res, 404, { detail: 'Not Found' });
  Object.assign(found, { status: 'killed', end_at: null });
  json(res, 200, { vm_id: found.sandbox_id });
}

function list(res: ServerResponse, sandboxes: Listed[], query: URLSearchParams): void {
  const metadata = query.get('metadata') ?? '{}';
  if (metadata.length > 8192)
    return void json(res, 422, { detail: [{ loc: ['query', 'metadata'], msg: '', type: '' }] });
  const filter = parseJson(metadata);
  const limit = Number(query.get('limit') ?? 100);
  json(res, 200, sandboxes.filter((sandbox) => contains(sandbox.metadata, filter)).slice(0, limit));
}

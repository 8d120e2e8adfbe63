import { Agent, request } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { readJson, type Sent, SentNumber } from '../../db/json/reader.ts';
import type { Asked } from './requests.ts';

export type Answer = { status: number; headers: Record<string, string>; text: string; json: Sent | undefined };

/** Headers that do not depend on the response, or that follow from it. */
const unrelated = new Set(['date', 'server', 'content-length', 'connection', 'keep-alive', 'transfer-encoding']);

const agent = new Agent({ keepAlive: true, maxSockets: 8 });

/** Sends a request to a local server. Retries once if the server has closed the idle connection. */
export async function ask(port: number, asked: Asked): Promise<Answer> {
  return await askOnce(port, asked).catch(() => askOnce(port, asked));
}

function askOnce(port: number, { method, path, headers, body }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const req = request({ agent, port, host: '127.0.0.1', method, path, headers: { ...headers, ...length } });
    req.on('error', reject).on('response', (res) => {
      const found = Object.entries(res.headers).map(([name, value]) => [name, String(value)]);
      readText(res).then(
        (text) =>
          resolve({ status: res.statusCode ?? 0, headers: Object.fromEntries(found), text, json: jsonOf(text) }),
        reject,
      );
    });
    req.end(body);
  });
}

/** Closes the connections that requests left open. */
export function hangUp(): void {
  agent.destroy();
}

function jsonOf(text: string): Sent | undefined {
  try {
    return readJson(text);
  } catch {
    return undefined;
  }
}

/**
 * Returns the differences between two responses. All of FastAPI's headers are compared; headers
 * that only Sandpit sends are not. For a successful create only the status and the headers are
 * compared, because the FastAPI application creates nothing.
 */
export function differences(fastapi: Answer, sandpit: Answer): string[] {
  const found: string[] = [];
  if (fastapi.status !== sandpit.status) found.push('status');
  const names = Object.keys(fastapi.headers).filter((name) => !unrelated.has(name));
  for (const name of names) if (fastapi.headers[name] !== sandpit.headers[name]) found.push(name);
  if (fastapi.text !== '{}' && canonical(fastapi) !== canonical(sandpit)) found.push('body');
  return found;
}

function canonical({ json, text }: Answer): string {
  return json === undefined ? text : canonicalText(json);
}

/**
 * Returns JSON in a canonical form: the members of objects are sorted, the spelling of numbers is
 * kept.
 */
export function canonicalText(value: Sent): string {
  if (value instanceof SentNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonicalText)}]`;
  if (!(value instanceof Map)) return JSON.stringify(value);
  const members = [...value].map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`);
  return `{${members.sort()}}`;
}

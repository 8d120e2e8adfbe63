import { Agent, request } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { readJson, type Sent, SentNumber } from '../../db/json/reader.ts';
import type { Asked } from './requests.ts';

export type Answer = { status: number; headers: Record<string, string>; text: string; json: Sent | undefined };

/** Headers that say nothing of the answer, or follow from it. */
const unrelated = new Set(['date', 'server', 'content-length', 'connection', 'keep-alive', 'transfer-encoding']);

const agent = new Agent({ keepAlive: true, maxSockets: 8 });

/** Asks a server on this machine; once more where it has closed the connection in between. */
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

/** Closes what the requests have left open. */
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
 * Returns in what two answers differ. Every header of FastAPI's counts, those that Sandpit adds do not. Of a success that
 * makes something only the status and the headers count: the application behind FastAPI makes nothing.
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

/** Returns JSON in one spelling. The order of an object's members says nothing; each numeral does. */
export function canonicalText(value: Sent): string {
  if (value instanceof SentNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonicalText)}]`;
  if (!(value instanceof Map)) return JSON.stringify(value);
  const members = [...value].map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`);
  return `{${members.sort()}}`;
}

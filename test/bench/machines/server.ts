import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Sandbox as Newest } from 'e2b';
import * as e2b from 'e2b';
import { type Serving, serve } from '../../helpers/processes/process.ts';
import type { TestEngine } from '../../machines/engines/engines.ts';
import { atEnd, temporaryDirectory } from '../cleanup.ts';

const key = `e2b_${'5'.repeat(40)}`;

export type SandboxClass = typeof Newest;
export type Sandbox = Newest;

/** A server with machines, in a process of its own, and a client of it. */
export type Subject = Serving & {
  key: string;
  engine: TestEngine;
  /** E2B's newest SDK, bound to the server. */
  Sandbox: SandboxClass;
};

/** Starts a server on an engine. */
export async function startSubject(engine: TestEngine, parent: string): Promise<Subject> {
  const machines = ['--machines', 'docker', '--engine', engine.address, '--image', engine.image];
  return { ...(await startServer(parent, machines)), engine };
}

/** Starts a server that keeps records only. */
export function startRecords(parent: string): Promise<Omit<Subject, 'engine'>> {
  return startServer(parent, []);
}

async function startServer(parent: string, flags: string[]): Promise<Omit<Subject, 'engine'>> {
  const db = join(temporaryDirectory(parent), 'sandpit.db');
  const serving = await serve(['--db', db, '--api-key', key, '--log-level', 'warn', ...flags]);
  atEnd(() => serving.stop());
  const { Sandbox } = new e2b.E2B({ apiKey: key, apiUrl: serving.url, sandboxUrl: serving.url });
  return { ...serving, key, Sandbox };
}

/** Returns the headers of calls to the inside of a sandbox. */
export function headersOf(sandbox: Sandbox): Record<string, string> {
  const { envdAccessToken } = sandbox as unknown as { envdAccessToken?: string };
  const routing = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49983' };
  return { ...routing, ...(envdAccessToken !== undefined && { 'X-Access-Token': envdAccessToken }) };
}

/** Returns the ids of the engine's containers, also of those that have stopped. */
export async function containersOf({ address }: TestEngine): Promise<string[]> {
  const socketPath = address.replace('unix://', '');
  const body = await new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath, path: '/containers/json?all=1', agent: false }, (answer) =>
      text(answer).then(resolve, reject),
    );
    asked.on('error', reject).end();
  });
  return (JSON.parse(body) as { Id: string }[]).map(({ Id }) => Id);
}

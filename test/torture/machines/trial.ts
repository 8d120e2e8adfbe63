import Database from 'better-sqlite3';
import { pino } from 'pino';
import type { Driver } from '../../../app/machines/driver.ts';
import { openDriver } from '../../../app/machines/open.ts';
import { apiKey } from '../model/client.ts';

export type MachineOptions = {
  file: string;
  kills: number;
  seconds: number;
  seed: number;
  /** the address of a container engine and an image that it has; without: plain processes */
  engine?: { address: string; image: string } | undefined;
  report?: (text: string) => void;
};

/** What clients ask for. `expire`: the sandbox pauses by itself a second later. */
export const verbNames = [
  'create',
  'kill',
  'pause',
  'resume',
  'expire',
  'snapshot',
  'fork',
  'start from a snapshot',
  'delete a snapshot',
] as const;
export type Verb = (typeof verbNames)[number];

/** A sandbox whose create was answered, and whose kill was not asked for. */
export type Known = {
  id: string;
  token: string;
  /** what its file holds */
  content: string;
  /** whether a command was started in it, and nothing since then ends it */
  hasCommand: boolean;
  /** whether it keeps its memory when it pauses by itself */
  keepsMemory: boolean;
  /** what was answered last; `unsure` while a verb has no answer, or if it pauses by itself */
  state: 'active' | 'paused' | 'unsure';
  /** whether a client works with it: others leave it alone */
  isBusy: boolean;
};

/** A snapshot whose taking was answered, and whose deletion was not asked for. */
export type Kept = { id: string; content: string; isBusy: boolean };

export type MachineResult = {
  seed: number;
  kills: number;
  created: number;
  /** in how many verbs of each kind the server was killed */
  interrupted: Record<Verb, number>;
  /** how many machines were caught where no client waits for them */
  caught: { unmade: number; unready: number; ended: number; running: number; unpaused: number };
  problems: string[];
};

export type Trial = {
  options: MachineOptions;
  driver: Driver;
  random: () => number;
  /** by id */
  known: Map<string, Known>;
  kept: Map<string, Kept>;
  /** the sandboxes and snapshots whose end was acknowledged */
  ended: Set<string>;
  /** how many requests of the clients were answered */
  answers: number;
  result: MachineResult;
};

/** The server was killed before it answered. */
export class ServerGone extends Error {}

/** Calls the server. Rejects with ServerGone. */
export async function call(
  url: string,
  method: string,
  path: string,
  body?: object,
  headers = {},
): Promise<{ status: number; body: unknown }> {
  const sent = { 'X-API-Key': apiKey, 'Content-Type': 'application/json', ...headers };
  try {
    const res = await fetch(url + path, { method, headers: sent, ...(body && { body: JSON.stringify(body) }) });
    const text = await res.text();
    const isJson = res.headers.get('content-type')?.startsWith('application/json');
    return { status: res.status, body: isJson ? JSON.parse(text) : text };
  } catch (cause) {
    throw new ServerGone('the server is gone', { cause });
  }
}

/** Returns a driver that sees the machines of the server's database. */
export async function driverOf({ file, engine }: MachineOptions): Promise<Driver> {
  const [instance] = rowsOf<{ id: string }>(file, 'select id from instance');
  const log = pino({ level: 'silent' });
  const config = { engine: engine?.address, db: file, msb: undefined };
  return openDriver(engine ? 'docker' : 'process', config, { instance: instance?.id ?? '', log });
}

/** Reads the database beside the server. */
export function rowsOf<Row>(file: string, sql: string): Row[] {
  const db = new Database(file, { readonly: true });
  try {
    return db.prepare<[], Row>(sql).all();
  } finally {
    db.close();
  }
}

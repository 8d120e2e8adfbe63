import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Result as Outcome } from '../docs/results.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { cli } from './clients.ts';
import { records as record } from './record.ts';
import { type Serving, sharedServer } from './server.ts';

/** The command line's program. */
export const bin = fileURLToPath(new URL('../../node_modules/@e2b/cli/dist/index.js', import.meta.url));

export type Result = { code: unknown; stdout: string; stderr: string };

export type Session = Serving & {
  /** Runs `e2b` to its end. */
  e2b: (...args: string[]) => Promise<Result>;
  // These bypass the CLI, which is slow to start.
  create: (body?: object) => Promise<string>;
  pause: (id: string) => Promise<unknown>;
  stateOf: (id: string) => Promise<unknown>;
};

type Body = (session: Session) => Promise<void>;

/** Returns functions that declare a test of a command, named for the result that it proves. */
export function withCli() {
  const serving = sharedServer();
  const declare = (result: Outcome) => (command: string, body: Body) =>
    record.declare(cli, command, result, async () => body(await sessionOf(serving())));
  return {
    works: declare('works'),
    records: declare('on records only'),
    refused: declare('refused in words'),
  };
}

/** Throws an AssertionError if the command failed or wrote to standard error. */
export function expectSuccess({ code, stderr }: Result): void {
  expect(stderr).to.equal('');
  expect(code).to.equal(0);
}

async function sessionOf(serving: Serving): Promise<Session> {
  const { url } = serving;
  const { key } = await serving.addUser();
  const call = async (path: string, request: RequestInit = {}) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const text = await (await fetch(`${url}${path}`, { headers, ...request })).text();
    return (text ? JSON.parse(text) : {}) as Record<string, string>;
  };
  const home = temporaryDirectory();
  return {
    ...serving,
    e2b: (...args) => run(args, { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: key, HOME: home }),
    create: async (body = {}) => {
      const request = { method: 'POST', body: JSON.stringify({ templateID: 'base', ...body }) };
      return String((await call('/v2/sandboxes', request)).sandboxID);
    },
    pause: (id) => call(`/sandboxes/${id}/pause`, { method: 'POST' }),
    stateOf: async (id) => (await call(`/sandboxes/${id}`)).state,
  };
}

/** Runs `e2b` to its end with these variables, and this standard input. */
export function run(args: string[], env: Record<string, string>, input = ''): Promise<Result> {
  // A command that hangs is killed at the time limit; its code is then null.
  const options = { env: { PATH: process.env.PATH, ...env }, timeout: 15_000 };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [bin, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

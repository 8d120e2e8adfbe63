import { mkdtempSync, openAsBlob, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { growthDuring, quantiles, timed } from '../bench/machines/measured.ts';
import { killRunning, type Serving, serve } from '../helpers/processes/process.ts';
import { codeArchive } from '../machines/engines/code-archive.ts';
import { startEngine, type TestEngine } from '../machines/engines/engines.ts';

/**
 * `npm run bench:code`: measures how fast code runs in machines of Docker, and what it costs the
 * server.
 */
const key = `e2b_${'9'.repeat(40)}`;
const seconds = 60;
const megabyte = 2 ** 20;
/** How long processes may take to end. */
const endMilliseconds = 10_000;

type Machine = { id: string; headers: Record<string, string> };

class Bench {
  readonly #server: Serving;
  readonly #directory: string;
  readonly #engine: TestEngine;

  constructor(server: Serving, directory: string, engine: TestEngine) {
    this.#server = server;
    this.#directory = directory;
    this.#engine = engine;
  }

  async run(): Promise<void> {
    const firsts: number[] = [];
    for (let n = 0; n < 5; n++) {
      const fresh = await this.#create();
      firsts.push(...(await timed(1, () => this.#code(fresh, '1+1'))));
      await this.#end(fresh);
    }
    report('first run_code after the create (bar: 2,000)', firsts);
    const machine = await this.#create();
    await this.#code(machine, '1+1');
    report('run_code("1+1") in a warm context (bars: 25, 80)', await timed(200, () => this.#code(machine, '1+1')));
    await this.#end(machine);
    await this.#instavm();
    await this.#contexts();
  }

  async #instavm(): Promise<void> {
    const { session_id } = await this.#json('/v1/sessions/session', { api_key: key, vm_lifetime_seconds: 3600 });
    const echo = () => this.#json('/execute', { session_id, command: 'echo hi', language: 'bash' });
    await echo();
    report('execute("echo hi", language="bash") (bar: 25)', await timed(200, echo));
    const print = { session_id, command: `for _ in range(100 * 1024): print("x" * 1023)`, timeout: 300 };
    await this.#moved('100 MB printed by code (bars: 20 MB/s, +64 MB)', 100, async () => {
      const answer = await this.#ask('/execute', {
        body: JSON.stringify(print),
        headers: { 'Content-Type': 'application/json' },
      });
      for await (const _ of answer.body as AsyncIterable<Uint8Array>);
    });
    await this.#moved('500 MB uploaded (bar: +64 MB)', 500, async () => {
      const file = join(this.#directory, 'large');
      await writeFile(file, Buffer.alloc(500 * megabyte, 'some bytes '));
      const form = new FormData();
      for (const [name, value] of Object.entries({ remote_path: 'large', session_id, recursive: 'false' }))
        form.append(name, value);
      form.append('file', await openAsBlob(file), 'large');
      if (!(await this.#ask('/upload', { body: form })).ok) throw new Error('the upload failed');
    });
    await this.#moved('500 MB downloaded (bar: +64 MB)', 500, async () => {
      const body = new URLSearchParams({ filename: 'large', session_id });
      for await (const _ of (await this.#ask('/download', { body })).body as AsyncIterable<Uint8Array>);
    });
    await this.#json('/kill', { session_id });
  }

  /**
   * 20 contexts in 10 machines at once: each counts, and must never see another's count. With the
   * contexts their processes end, and with the sandboxes those of the machines.
   */
  async #contexts(): Promise<void> {
    const machines = await Promise.all(Array.from({ length: 10 }, () => this.#create()));
    const idle = await this.#processes();
    const end = Date.now() + seconds * 1000;
    let [right, wrong] = [0, 0];
    const count = async (machine: Machine) => {
      const context = await this.#context(machine);
      for (let n = 1; Date.now() < end; n++) {
        const lines = await this.#code(machine, 'n = globals().get("n", 0) + 1\nn', context);
        if (lines.includes(`"text":"${n}"`)) right++;
        else wrong++;
      }
      await this.#remove(machine, context);
    };
    await Promise.all(machines.flatMap((machine) => [count(machine), count(machine)]));
    const left = await this.#more(idle);
    for (const machine of machines) await this.#end(machine);
    const rest = await this.#more(0);
    const counts = `${right} right, ${wrong} wrong (bar: 0)`;
    const leftOver = `${left} processes left by contexts, ${rest} by machines (bar: 0)`;
    process.stdout.write(`20 contexts in 10 machines for ${seconds} s: ${counts}; ${leftOver}\n`);
  }

  /** Returns by how many processes all machines still exceed the number some seconds later. */
  async #more(expected: number): Promise<number> {
    const end = Date.now() + endMilliseconds;
    for (;;) {
      const left = (await this.#processes()) - expected;
      if (left <= 0 || Date.now() > end) return left;
      await delay(100);
    }
  }

  /** Returns how many processes all machines have. */
  async #processes(): Promise<number> {
    const containers = (await this.#engine.ask('GET', '/containers/json')) as { Id: string }[];
    const tops = await Promise.all(containers.map(({ Id }) => this.#engine.ask('GET', `/containers/${Id}/top`)));
    // A container that has just ended has none.
    return tops.reduce<number>((sum, top) => sum + ((top as { Processes?: [] }).Processes?.length ?? 0), 0);
  }

  async #create(): Promise<Machine> {
    const { sandboxID: id, envdAccessToken: token } = await this.#json('/v2/sandboxes', {
      templateID: 'base',
      timeout: 3600,
    });
    return {
      id,
      headers: {
        'E2b-Sandbox-Id': id,
        'E2b-Sandbox-Port': '49999',
        'X-Access-Token': token,
        'Content-Type': 'application/json',
      },
    };
  }

  async #code({ headers }: Machine, code: string, context_id?: string): Promise<string> {
    const body = JSON.stringify({ code, context_id });
    return (await fetch(`${this.#server.url}/execute`, { method: 'POST', headers, body })).text();
  }

  async #context({ headers }: Machine): Promise<string> {
    const answer = await fetch(`${this.#server.url}/contexts`, { method: 'POST', headers, body: '{}' });
    return ((await answer.json()) as { id: string }).id;
  }

  async #remove({ headers }: Machine, context: string): Promise<void> {
    await fetch(`${this.#server.url}/contexts/${context}`, { method: 'DELETE', headers });
  }

  async #end({ id }: Machine): Promise<void> {
    await fetch(`${this.#server.url}/sandboxes/${id}`, { method: 'DELETE', headers: { 'X-API-Key': key } });
  }

  async #json(path: string, body: object) {
    const answer = await this.#ask(path, {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json' },
    });
    if (!answer.ok) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`);
    return answer.json() as Promise<
      Record<string, string> & { session_id: string; sandboxID: string; envdAccessToken: string }
    >;
  }

  #ask(path: string, { headers = {}, ...init }: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(this.#server.url + path, { method: 'POST', ...init, headers: { 'X-API-Key': key, ...headers } });
  }

  async #moved(what: string, megabytes: number, work: () => Promise<void>): Promise<void> {
    const began = performance.now();
    const { growth } = await growthDuring(this.#server.pid, work);
    const speed = (megabytes * 1000) / (performance.now() - began);
    process.stdout.write(`${what}: ${speed.toFixed(0)} MB/s, server +${(growth / megabyte).toFixed(0)} MB\n`);
  }
}

function report(what: string, times: number[]): void {
  const { p50, p95 } = quantiles(times);
  process.stdout.write(`${what}: p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms\n`);
}

async function main(engine: TestEngine): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-code-'));
  const image = await engine.add(codeArchive(), 'localhost/sandpit-code');
  const machines = ['--machines', 'docker', '--engine', engine.address, '--image', image];
  const server = await serve([
    '--db',
    join(directory, 'sandpit.db'),
    '--api-key',
    key,
    '--log-level',
    'error',
    ...machines,
  ]);
  await new Bench(server, directory, engine).run();
  await server.stop();
  rmSync(directory, { recursive: true });
}

const engine = await startEngine('docker');
try {
  await main(engine);
} finally {
  killRunning();
  await engine.stop();
}

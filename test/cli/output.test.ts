import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Readable, Writable } from 'node:stream';
import { expect } from 'chai';
import { LineOutput } from '../../app/log/line-output.ts';
import { createLog } from '../../app/log/log.ts';
import type { Output } from '../../app/terminal/output.ts';
import { importLine } from '../helpers/processes/commands.ts';
import { program, type Serving, sandpit, serve } from '../helpers/processes/process.ts';
import { itWithPython } from '../helpers/python.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const shell = (script: string) => spawnSync('sh', ['-c', script], { encoding: 'utf8' });
const quoted = program.map((word) => `"${word}"`).join(' ');
const env = { SANDPIT_API_KEY: `e2b_${'5'.repeat(40)}` };

describe('standard output that cannot be written', function () {
  if (process.platform !== 'linux') this.pending = true;
  let db: string;
  let dir: string;
  beforeEach(() => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
  });

  describe('of a server', () => {
    const running: Serving[] = [];
    /** Starts a server. Returns it and a function that reads how many log lines were lost. */
    const start = async (stdout: number | 'unread') => {
      const server = await serve(['--db', db, '--metrics-port', '0'], { env, stdout });
      running.push(server);
      const [, metrics = ''] = /Metrics: (\S+)/.exec(server.output.stderr) ?? [];
      /**
       * Waits until `expected` lines are lost, because a line is written just after its response.
       * Returns the number.
       */
      const lost = async (expected: number) => {
        for (;;) {
          const [, count] = /^sandpit_log_lines_lost_total (\d+)$/m.exec(await (await fetch(metrics)).text()) ?? [];
          if (Number(count) >= expected) return Number(count);
        }
      };
      const ask = async () => (await fetch(`${server.url}/health`)).status;
      return { ...server, lost, ask };
    };
    afterEach(async () => {
      for (const { stop } of running.splice(0)) await stop('SIGKILL');
    });

    it('loses only log lines on a full disk or a read-only descriptor', async () => {
      for (const [path, flags] of [
        ['/dev/full', 'w'],
        ['/dev/null', 'r'],
      ] as const) {
        const file = openSync(path, flags);
        const { ask, lost, stop } = await start(file);
        closeSync(file);
        for (let n = 1; n <= 3; n++) expect(await ask(), path).to.equal(200);
        expect(await lost(3), path).to.equal(3);
        expect(await stop(), path).to.equal(0);
      }
    });

    it('reports once how many lines were lost when output works again', async () => {
      const pipe = join(dir, 'pipe');
      expect(shell(`mkfifo "${pipe}"`).status).to.equal(0);
      const open = () => openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
      const first = open();
      const write = openSync(pipe, 'w');
      const { ask, lost, stop } = await start(write);
      closeSync(write);
      closeSync(first);
      for (let n = 1; n <= 3; n++) expect(await ask(), 'without a reader').to.equal(200);
      expect(await lost(3)).to.equal(3);
      const second = open();
      await ask();
      await ask();
      expect(await lost(3)).to.equal(3);
      const lines: string[] = [];
      while (lines.length < 3) {
        await lost(3);
        lines.push(...textIn(second).split('\n').slice(0, -1));
      }
      closeSync(second);
      expect(lines.map((line) => JSON.parse(line).lost ?? 'request')).to.deep.equal(['request', 3, 'request']);
      expect(await stop()).to.equal(0);
    });

    it('the server answers and stops although the pipe is not read', async () => {
      const { ask, stop } = await start('unread');
      for (let n = 0; n < 1200; n++) await ask();
      expect(await stop()).to.equal(0);
    });

    it('the log says how to get an API key when standard error is lost', async () => {
      const full = openSync('/dev/full', 'w');
      const [file = '', ...args] = [...program, 'serve', '--port', '0', '--db', db];
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', full] });
      closeSync(full);
      const [line] = await once(child.stdout as Readable, 'data');
      expect(JSON.parse(String(line)).msg).to.equal(
        'the first API key could not be shown: make one with sandpit keys create --user admin',
      );
      child.kill();
      expect(await once(child, 'exit')).to.deep.equal([0, null]);
    });

    itWithPython('the server answers while the terminal is stopped', async () => {
      const script = join(dir, 'terminal.py');
      writeFileSync(script, stoppedTerminal);
      const { status, stdout, stderr } = spawnSync(
        'python3',
        [script, ...program, 'serve', '--port', '0', '--db', db],
        {
          encoding: 'utf8',
          timeout: 30_000,
        },
      );
      expect({ status, stdout, stderr }).to.deep.equal({ status: 0, stdout: '200 200 200, then 0\n', stderr: '' });
    });
  });

  it('a command reports it in one line and fails', async () => {
    await sandpit(['users', 'create', 'alice', '--db', db]);
    await sandpit(['import', '-', '--db', db], { input: importLine() });
    const commands = [
      ...['keys list', 'keys create --user alice', 'export', 'kill --all --dry-run'].map(
        (command) => `${command} --db ${db}`,
      ),
      'openapi --json',
      'service',
      'conform --list-rules',
      '--help',
      '--version',
    ];
    const full = openSync('/dev/full', 'w');
    for (const command of commands) {
      const { code, stderr } = await sandpit(command.split(' '), { stdout: full });
      expect(code, command).to.equal(1);
      expect(stderr, command).to.match(
        /(^|\n)sandpit: can't write to standard output: ENOSPC: no space left on device, write\n$/,
      );
      expect(stderr).not.to.contain('    at ');
    }
    closeSync(full);
  });

  it('a command treats a partial write as a failure', () => {
    const { status, stderr } = shell(`ulimit -f 8; ${quoted} openapi > "${join(dir, 'out')}"`);
    expect(statSync(join(dir, 'out')).size).to.equal(4096);
    expect(status).to.equal(1);
    expect(stderr).to.equal("sandpit: can't write to standard output: EFBIG: file too large, write\n");
  });

  it('a command whose reader closes the pipe exits quietly with the status of a broken pipe', () => {
    const { stdout, stderr } = shell(`{ ${quoted} openapi; echo "status $?" >&2; } | head -n 1`);
    expect(stdout).to.equal('openapi: 3.1.0\n');
    expect(stderr).to.equal('status 141\n');
  });

  it('a command waits for a slow reader until a signal arrives', () => {
    const slow = shell(`${quoted} openapi | { sleep 1; cat; }`);
    expect(slow.stdout).to.equal(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'));
    const stalled = shell(`{ timeout -s INT 2 ${quoted} openapi; echo "status $?" >&2; } | sleep 3`);
    expect(stalled.stderr).to.equal('status 124\n');
  });

  it('buffers a bounded number of lines for a stalled reader', () => {
    let taken = 0;
    const stalled = new Writable({
      write: (chunk) => {
        taken += chunk.length;
      },
    });
    const output = new LineOutput(stalled as Output);
    const log = createLog('info', output);
    for (let n = 0; n < 100; n++) log.info({ text: 'x'.repeat(100_000) }, 'large');
    expect(stalled.writableLength).to.be.lessThan(2 ** 20 + 200_000);
    expect(output.lost).to.equal(100 - Math.round(stalled.writableLength / 100_000));
    expect(taken).to.be.lessThan(200_000);
  });
});

/** Returns the content of a pipe, or '' if it is empty. */
function textIn(pipe: number): string {
  const bytes = Buffer.alloc(10_000);
  try {
    return bytes.toString('utf8', 0, readSync(pipe, bytes));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

/**
 * Starts a program on a pseudo-terminal, stops the terminal's output as Ctrl-S does, sends three
 * requests and stops the program.
 */
const stoppedTerminal = `
import os, pty, re, signal, subprocess, sys, termios, urllib.request
master, slave = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
seen = ''
while not (found := re.search(r'answers on (http://[0-9.:]+)', seen)) or not seen.endswith('\\n'):
    seen += os.read(master, 10000).decode()
termios.tcflow(slave, termios.TCOOFF)
ask = lambda: str(urllib.request.urlopen(found[1] + '/health', timeout=5).status)
statuses = ' '.join(ask() for _ in range(3))
child.send_signal(signal.SIGTERM)
print(f'{statuses}, then {child.wait(20)}')
`;

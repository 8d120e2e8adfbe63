import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../helpers/listen.ts';
import { preparePython } from '../helpers/python.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Starts the FastAPI application on a free port. Returns the port and a function that stops it. */
export async function startFastApi(key: string): Promise<{ port: number; stop: () => void }> {
  const python = preparePython('fastapi', join(here, 'requirements.txt'));
  const port = await freePort();
  const args = ['-m', 'uvicorn', 'app:app', '--port', String(port), '--log-level', 'critical', '--http', 'h11'];
  const child = spawn(python, args, {
    cwd: here,
    env: { PATH: process.env.PATH, JUDGE_KEY: key, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await answering(child, port);
  return { port, stop: () => void child.kill() };
}

async function answering(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`uvicorn ended with ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('uvicorn does not answer');
}

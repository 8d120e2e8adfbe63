import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '../helpers/processes/process.ts';
import { ask, differences, hangUp } from './compare.ts';
import { type Pair, reasonOf, reasons } from './explained.ts';
import { type Asked, requestsFrom } from './requests.ts';
import { startFastApi } from './servers.ts';

const key = `e2b_${'5'.repeat(40)}`;
const maxShown = 40;

type Found = Pair & { parts: string[]; reason: string | null };

/**
 * Sends the same requests to Sandpit and to a FastAPI application, and reports unexplained
 * differences.
 */
async function judge(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-fastapi-'));
  const fastapi = await startFastApi(key);
  const sandpit = await serve(['--db', join(directory, 'sandpit.db'), '--login-attempts', '100000'], {
    env: { SANDPIT_API_KEY: key },
  });
  try {
    const asked = requestsFrom(Number(process.argv[2] ?? 1), key);
    return report(await compareAll(asked, fastapi.port, Number(new URL(sandpit.url).port)));
  } finally {
    hangUp();
    fastapi.stop();
    await sandpit.stop();
    rmSync(directory, { recursive: true });
  }
}

async function compareAll(asked: Asked[], fastapiPort: number, sandpitPort: number): Promise<Found[]> {
  const found: Found[] = [];
  const queue = asked.values();
  const work = async () => {
    for (const each of queue) {
      const [fastapi, sandpit] = await Promise.all([ask(fastapiPort, each), ask(sandpitPort, each)]);
      const pair = { asked: each, fastapi, sandpit };
      const parts = differences(fastapi, sandpit);
      const reason = parts.length > 0 ? reasonOf(pair) : null;
      found.push({ ...pair, parts, reason });
    }
  };
  await Promise.all(Array.from({ length: 6 }, work));
  return found;
}

/** Prints the summary; returns the exit status. */
function report(found: Found[]): number {
  const wrong = found.filter(({ parts, reason }) => parts.length > 0 && reason === null);
  for (const { asked, parts, fastapi, sandpit } of wrong.slice(0, maxShown)) {
    const { method, path, headers, body } = asked;
    console.log(`\n${method} ${path.slice(0, 200)} ${JSON.stringify(headers)} ${body?.slice(0, 300) ?? ''}`);
    console.log(`  differ in ${parts.join(', ')}`);
    for (const [name, answer] of Object.entries({ fastapi, sandpit })) {
      console.log(
        `  ${name.padEnd(8)} ${answer.status} ${answer.headers['content-type']} ${answer.text.slice(0, 400)}`,
      );
    }
  }
  const same = found.filter(({ parts }) => parts.length === 0).length;
  console.log(
    `\n${found.length} requests: ${same} answered alike, ${found.length - same - wrong.length} differ for a reason:`,
  );
  for (const reason of reasons) {
    console.log(`  ${String(found.filter((each) => each.reason === reason).length).padStart(5)} ${reason}`);
  }
  console.log(`${found.length - wrong.length} passed, ${wrong.length} failed`);
  return wrong.length > 0 ? 1 : 0;
}

process.exitCode = await judge();

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { sandpit, serve } from '../helpers/processes/process.ts';
import { startBrowser } from './chromium.ts';

/** `npm run bench:console`: measures the page's bars with 100,000 sandboxes in a real browser. */
const key = `e2b_${'8'.repeat(40)}`;
const count = 100_000;

async function main(): Promise<void> {
  const db = join(mkdtempSync(join(tmpdir(), 'sandpit-console-')), 'sandpit.db');
  await fill(db);
  const server = await serve(['--db', db, '--machines', 'none', '--log-level', 'warn']);
  const browser = await startBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/console/`);
    await page.evaluate(`sessionStorage.setItem('sandpit.credential', '{"kind":"key","secret":"${key}"}')`);
    report('first paint of the page (bar: 300 ms)', await repeated(10, () => firstPaint(page)));
    await page.getByText('live', { exact: true }).waitFor();
    report('a filter of 100,000 to its rows (bar: 300 ms)', await repeated(10, () => filter(page)));
    await page.getByRole('button', { name: 'Clear' }).click();
    report('a new sandbox to its row (bar: 200 ms)', await repeated(20, (n) => appear(page, server.url, n)));
    const longest = await longestTask(page, server.url);
    process.stdout.write(`longest task of the page at 100 events a second (bar: 100 ms): ${longest.toFixed(0)} ms\n`);
  } finally {
    await browser.close();
    await server.stop();
  }
}

async function fill(db: string): Promise<void> {
  const start = Date.now() - 3_600_000;
  const lines = Array.from({ length: count }, (_, n) => {
    const metadata = { env: n % 3 === 0 ? 'dev' : 'prod', user: `u${n % 1000}`, n };
    const times = { started_at: new Date(start + n * 10).toISOString(), end_at: '2099-01-01T00:00:00Z' };
    return JSON.stringify({
      sandbox_id: `i${n}`,
      template_id: 'base',
      metadata,
      status: 'active',
      ...times,
      owner: 'admin',
    });
  });
  writeFileSync(`${db}.jsonl`, lines.join('\n'));
  // The first start makes the user and the key.
  const first = await serve(['--db', db, '--api-key', key, '--machines', 'none', '--log-level', 'warn']);
  await first.stop();
  const { code, stderr } = await sandpit(['import', `${db}.jsonl`, '--db', db]);
  if (code !== 0) throw new Error(stderr);
}

async function repeated(times: number, measure: (n: number) => Promise<number>): Promise<number[]> {
  const taken: number[] = [];
  for (let n = 0; n < times; n++) taken.push(await measure(n));
  return taken.sort((a, b) => a - b);
}

function report(what: string, sorted: number[]): void {
  const [median = 0, longest = 0] = [sorted[sorted.length >> 1], sorted.at(-1)];
  process.stdout.write(`${what}: median ${median.toFixed(0)} ms, longest ${longest.toFixed(0)} ms\n`);
}

async function firstPaint(page: Page): Promise<number> {
  await page.reload();
  await page.locator('h1').waitFor();
  return page.evaluate(
    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN",
  ) as Promise<number>;
}

let turn = 0;

/** Measures in the page: the browser's driver would add its own waits. */
async function filter(page: Page): Promise<number> {
  turn += 1;
  await page.getByLabel('Metadata contains').fill(`{"user":"u${turn}"}`);
  return until(page, `document.querySelector('.filters button').click()`, `user: u${turn}`);
}

/** Runs a script in the page. Returns the milliseconds until a chip with this text is drawn. */
function until(page: Page, script: string, text: string): Promise<number> {
  return page.evaluate(`new Promise((resolve) => {
    const begin = performance.now();
    const isThere = () => [...document.querySelectorAll('.chip')].some((chip) => chip.textContent === '${text}');
    const look = () => (isThere() ? resolve(performance.now() - begin) : requestAnimationFrame(look));
    ${script};
    look();
  })`) as Promise<number>;
}

async function create(url: string, name: string): Promise<void> {
  const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
  await fetch(`${url}/v1/vms`, { method: 'POST', headers, body: JSON.stringify({ metadata: { name } }) });
}

async function appear(page: Page, url: string, n: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  await create(url, `new${n}`);
  return until(page, '', `name: new${n}`);
}

async function longestTask(page: Page, url: string): Promise<number> {
  await page.evaluate(
    "globalThis.longest = 0; new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration) }).observe({ type: 'longtask' })",
  );
  for (let n = 0; n < 1000; n++) {
    void create(url, `flood${n}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return page.evaluate('longest') as Promise<number>;
}

await main();

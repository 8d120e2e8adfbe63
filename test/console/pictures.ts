import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { serve } from '../helpers/processes/process.ts';
import { startBrowser } from './chromium.ts';

/** `npm run pictures`: draws the pictures of the console that the README shows. */
const folder = fileURLToPath(new URL('pictures/', import.meta.url));
const key = `e2b_${'7'.repeat(40)}`;

const people = [
  { template: 'base', metadata: { agent: 'researcher', env: 'prod', run: 4127 } },
  { template: 'base', metadata: { agent: 'coder', env: 'prod', git: { branch: 'main' } } },
  { template: 'base', metadata: { agent: 'coder', env: 'dev', run: 18 } },
  { template: 'base', metadata: { agent: 'tester', env: 'dev', tags: ['nightly'] } },
];

async function main(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const db = `${tmpdir()}/sandpit-pictures-${process.pid}.db`;
  const server = await serve(['--db', db, '--api-key', key, '--machines', 'process', '--log-level', 'warn']);
  const browser = await startBrowser();
  try {
    const ids = await fill(server.url);
    const context = await browser.newContext({ viewport: { width: 1120, height: 620 }, colorScheme: 'light' });
    const page = await context.newPage();
    await page.goto(`${server.url}/console/`);
    await page.getByLabel('API key').last().fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('live', { exact: true }).waitFor();
    await draw(page, 'sandboxes');
    await drawTerminal(page, `${server.url}/console/#/sandboxes/${ids[0]}`);
    await page.setViewportSize({ width: 390, height: 720 });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.goto(`${server.url}/console/#/sandboxes`);
    await page.getByText('live', { exact: true }).waitFor();
    await draw(page, 'phone');
  } finally {
    await browser.close();
    await server.stop();
  }
}

async function fill(url: string): Promise<string[]> {
  const ids: string[] = [];
  for (const { template, metadata } of people) {
    const body = JSON.stringify({ snapshot_id: template, metadata, vm_lifetime_seconds: 3600 });
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const answer = await fetch(`${url}/v1/vms`, { method: 'POST', headers, body });
    ids.push(((await answer.json()) as { vm_id: string }).vm_id);
  }
  return ids.reverse();
}

async function drawTerminal(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await page.locator('.plot[aria-label$=": 6 readings"]').first().waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: 'Open a terminal' }).click();
  await page.locator('.xterm-rows').waitFor();
  await page.keyboard.type('clear; python3 -c "print(6 * 7)"\n');
  await page.locator('.xterm-rows').getByText('42').first().waitFor();
  await page.locator('#usage').scrollIntoViewIfNeeded();
  await page.evaluate("document.getElementById('usage').scrollIntoView()");
  await draw(page, 'sandbox');
}

async function draw(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${folder}${name}.png` });
  process.stdout.write(`test/console/pictures/${name}.png\n`);
}

await main();

import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';

const usual = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * Starts the browser that TEST_BROWSER names, or the one of this machine. Throws an Error without
 * one.
 */
export async function startBrowser(): Promise<Browser> {
  const program = process.env.TEST_BROWSER ?? usual.find((file) => existsSync(file));
  if (program === undefined) throw new Error('there is no browser: install chromium, or name one with TEST_BROWSER');
  const { chromium } = await import('playwright-core');
  // Debian's Chromium refuses to run as root with its sandbox. The pages are our own.
  return chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
}

import { readFileSync } from 'node:fs';
import * as e2b from 'e2b';
import * as e2b245 from 'e2b-2-45';
import * as e2b250 from 'e2b-2-50';

/** An installed package, read from its own package.json. `title` is its name and version. */
export type Client = { name: string; version: string; title: string };

export type Sdk = typeof e2b;

/** E2B's SDKs, oldest first. All have the newest one's types. */
export const sdks: { client: Client; sdk: Sdk }[] = [
  { client: installed('e2b-2-45'), sdk: e2b245 as unknown as Sdk },
  { client: installed('e2b-2-50'), sdk: e2b250 as unknown as Sdk },
  { client: installed('e2b'), sdk: e2b },
];

export const cli = installed('@e2b/cli');

function installed(directory: string): Client {
  const file = new URL(`../../node_modules/${directory}/package.json`, import.meta.url);
  const { name, version } = JSON.parse(readFileSync(file, 'utf8'));
  return { name, version, title: `${name} ${version}` };
}

import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.ts';
import { buildExecutable } from './executable.ts';
import { hostPlatform, platforms, work } from './platforms.ts';

const help = `Usage: npm run package [-- options]

Builds dist/sandpit-<platform>-<arch>: one file that runs without Node and packages.

Options:
  --platform <name>  ${platforms.join(', ')}; may be repeated (default: this machine)
  --all              every platform
`;

const { values } = parseArgs({
  options: {
    platform: { type: 'string', multiple: true },
    all: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(help);
else await buildAll(values.all ? platforms : (values.platform ?? [hostPlatform]));

async function buildAll(wanted: readonly string[]): Promise<void> {
  const unknown = wanted.find((name) => !platforms.includes(name));
  if (unknown !== undefined) throw new Error(`there is no platform ${unknown}: choose from ${platforms.join(', ')}`);
  try {
    process.stderr.write('Bundling the program...\n');
    await bundle();
    for (const platform of wanted) {
      process.stderr.write(`Building for ${platform}...\n`);
      const { file, bytes } = buildExecutable(platform);
      process.stdout.write(`${file}  ${(bytes / 2 ** 20).toFixed(1)} MiB\n`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

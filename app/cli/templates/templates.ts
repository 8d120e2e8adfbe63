import type { Command } from 'commander';
import { StoreError } from '../../../db/errors.ts';
import { noSetup, type Setup } from '../../../db/machines/setup.ts';
import { putTemplate, removeTemplate } from '../../../db/machines/templates.ts';
import { inTransaction } from '../../../db/store.ts';
import { matching } from '../../config/readers.ts';
import { baseName } from '../../machines/images/images.ts';
import { printable } from '../../terminal/printable.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addSettings, asFlag, withStore } from '../options.ts';
import { buildCommand } from './build.ts';
import { listing } from './listing.ts';
import { nameOf } from './name.ts';
import { pullCommand } from './pull.ts';

type AddFlags = { image: string; sudo?: boolean; runtime?: string; start?: string; ready?: string; replace?: boolean };

export function templatesCommand(program: Command, terminal: Terminal): void {
  const { stdout, now } = terminal;
  const templates = program.command('templates').description('add, list, remove, pull and build templates');

  addSettings(templates.command('add <name>'), ['db'])
    .description('add a template: sandboxes of every user can start from it')
    .requiredOption('--image <reference>', 'container image, e.g. docker.io/library/node:24', asFlag(imageReference))
    .option('--sudo', 'let programs gain privileges, e.g. with sudo')
    .option('--runtime <name>', "container runtime, e.g. runsc for gVisor (default: the engine's)", asFlag(runtimeName))
    .option('--start <command>', 'runs in the background in each new sandbox, as the user "user"', asFlag(command))
    .option('--ready <command>', 'a new sandbox is handed out when this command succeeds, within 45 s', asFlag(command))
    .option('--replace', 'replace the template of this name; its sandboxes run on')
    .action(async (given: string, flags: AddFlags) => {
      const { image, sudo: allowsSudo = false, runtime = null, replace: mayReplace = false } = flags;
      const template = { name: nameOf(given), image, allowsSudo, runtime, setup: setupOf(flags) };
      await withStore(flags, ({ db }) =>
        inTransaction(db, (trx) => putTemplate(trx, now(), template, { mayReplace })).catch((error) => {
          throw isConflict(error) ? new Error(`${error.message}: --replace replaces it`, { cause: error }) : error;
        }),
      );
      stdout.write(
        `Added ${template.name}. A running server pulls ${printable(image)} soon, if the engine lacks it.\n`,
      );
    });

  addSettings(templates.command('list'), ['db', 'image'])
    .description('list templates, and the snapshots of all users with the disk that they take')
    .option('--json', 'print JSON')
    .action((flags) => withStore(flags, async (store) => void stdout.write(await listing(store, flags))));

  addSettings(templates.command('remove <name>'), ['db'])
    .description('remove a template; its sandboxes run on, and its image stays')
    .action(async (given: string, flags) => {
      const name = nameOf(given);
      await withStore(flags, ({ db }) => inTransaction(db, (trx) => removeTemplate(trx, name))).catch((error) => {
        throw name === baseName && error.cause instanceof StoreError ? new Error(baseStays, { cause: error }) : error;
      });
      stdout.write(name === baseName ? `Removed ${name}: it stands for SANDPIT_IMAGE again.\n` : `Removed ${name}.\n`);
    });

  pullCommand(templates, terminal);
  buildCommand(templates, terminal);
}

const baseStays =
  'base stands for SANDPIT_IMAGE and cannot be removed: change the setting, or replace base with sandpit templates add base';

function setupOf({ start, ready }: AddFlags): Setup | null {
  if (start === undefined && ready === undefined) return null;
  return { ...noSetup, startCmd: start ?? null, readyCmd: ready ?? null };
}

function command(text: string): string {
  return matching(text, /^[^\0]{1,4096}$/, 'a command of at most 4,096 characters');
}

function imageReference(text: string): string {
  return matching(text, /^[A-Za-z0-9][\w./:@-]{0,254}$/, 'an image reference such as docker.io/library/node:24');
}

function runtimeName(text: string): string {
  return matching(text, /^[A-Za-z0-9][\w.-]{0,127}$/, 'the name of a runtime, such as runsc');
}

function isConflict(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === 'conflict';
}

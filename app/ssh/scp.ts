import { readAsset } from '../../spec/assets.ts';

let program: string | null = null;

/**
 * Returns the command line for a shell. `scp -O` runs scp in the machine, so a program of ours
 * stands in for it where the image has none.
 */
export function scpCommand(command: string): string {
  if (!/^scp\s/.test(command)) return command;
  program ??= readAsset('scp.sh').toString();
  return `${program}\n${command}`;
}

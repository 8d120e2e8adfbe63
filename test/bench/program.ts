import { cleanUp, cleanUpOnSignals, isEnding } from './cleanup.ts';
import { note } from './progress.ts';

/** An option has a bad value; the message names it. */
export class UsageError extends Error {}

/**
 * Runs a program with the arguments of the command line, then cleans up. The exit code is 1 if the
 * program throws or returns false. A UsageError is printed with the usage, any other error with its
 * stack.
 */
export async function runProgram(main: (args: string[]) => Promise<boolean>, usage: string): Promise<void> {
  cleanUpOnSignals();
  try {
    if (!(await main(process.argv.slice(2)))) process.exitCode = 1;
  } catch (error) {
    const { code, message, stack } = error as NodeJS.ErrnoException;
    const isUsage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS');
    if (!isEnding()) note(isUsage ? `${message}\n\n${usage}` : String(stack));
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}

/** Reads the value of an option. Throws UsageError. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`'${text}' is not a whole number above 0`);
  return Number(text);
}

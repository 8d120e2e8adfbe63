import type { MachineFinding } from './finding.ts';

/** Returns the finding of a check that resolves to its note, or rejects with its problem. */
export async function attempt(check: MachineFinding['check'], work: () => Promise<string>): Promise<MachineFinding> {
  try {
    return { check, problems: [], note: await work() };
  } catch (error) {
    const { message, cause } = error as Error;
    const more = cause instanceof Error && !message.includes(cause.message) ? `: ${cause.message}` : '';
    return { check, problems: [`${message}${more}`], note: '' };
  }
}

/** Returns the time since then in words. */
export function since(began: number): string {
  return `${Math.round(performance.now() - began)} ms`;
}

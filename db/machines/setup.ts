/** What a template lays down for its machines: how commands start, and what runs from the start. */
export type Setup = {
  /** who runs commands; null: the agent's default */
  user: string | null;
  /** where commands run; null: the user's home */
  workdir: string | null;
  env: Record<string, string>;
  /** runs in the background from the start of the machine on */
  startCmd: string | null;
  /** a sandbox is ready when this command succeeds */
  readyCmd: string | null;
};

/** Lays down nothing. */
export const noSetup: Setup = { user: null, workdir: null, env: {}, startCmd: null, readyCmd: null };

/** Returns the setup of a column, which is JSON text or null. */
export function setupOf(column: string | null): Setup | null {
  return column === null ? null : JSON.parse(column);
}

/** Returns the column of a setup. */
export function setupColumn(setup: Setup | null): string | null {
  return setup === null ? null : JSON.stringify(setup);
}

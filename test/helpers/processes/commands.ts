import { expect } from 'chai';
import { type Result, sandpit } from './process.ts';

/** Returns functions that run commands on a database. */
export function commandsOn(db: () => string) {
  const run = (...args: string[]): Promise<Result> => sandpit([...args, '--db', db()]);
  return {
    run,
    /** Runs a command that must succeed. Returns its output. */
    runs: async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(...args);
      expect(code, stderr).to.equal(0);
      return stdout;
    },
    /** Runs a command that must fail. Returns its one-line error. */
    fails: async (...args: string[]): Promise<string> => {
      const { code, stderr } = await run(...args);
      expect(code).to.equal(1);
      expect(stderr).to.match(/^sandpit: .+\n$/);
      return stderr;
    },
  };
}

/** Returns a line to import: a sandbox of alice's. */
export function importLine(record: object = {}): string {
  const whole = {
    sandbox_id: 'one',
    owner: 'alice',
    metadata: {},
    memory_mb: 512,
    vcpu_count: 2,
    started_at: '2025-01-01T00:00:00.000Z',
    end_at: '2025-01-01T00:05:00.000Z',
    status: 'active',
    template_id: null,
    ...record,
  };
  return `${JSON.stringify(whole)}\n`;
}

import { expect } from 'chai';

export type Row = { attack: string; sent: string; answer: string; expected: string };

/** The results, in the order of the cases. */
export const rows: Row[] = [];

/** Figures for the report that no test asserts. */
export const figures: string[] = [];

/**
 * Declares a test of an attack. `run` sends the attack and returns a description of the response,
 * which must equal `expected` or one of its alternatives, separated by `or`. `sent` describes the
 * attack in the table.
 */
export function abuse(attack: string, sent: string, expected: string, send: () => Promise<string>): void {
  it(`${attack}: ${sent} -> ${expected}`, async () => {
    const answer = await send().catch((error: Error) => `failed: ${error.message}`);
    rows.push({ attack, sent, answer, expected });
    expect(isExpected(answer, expected), `${answer} instead of ${expected}`).to.equal(true);
  });
}

/** Returns statuses as text, each with its count: `200 x 3, 503`. */
export function counted(statuses: (string | number)[]): string {
  const counts = Map.groupBy(statuses, String);
  const words = [...counts].sort().map(([status, { length }]) => (length > 1 ? `${status} x ${length}` : status));
  return words.join(', ') || 'nothing';
}

/** Returns the table and the figures as text. */
export function report(): string {
  const cells = rows.map(({ attack, sent, answer, expected }) => [
    attack,
    sent,
    answer,
    isExpected(answer, expected) ? 'as expected' : `WRONG: expected ${expected}`,
  ]);
  const table = [['case', 'what was sent', 'answer', 'verdict'], ['---', '---', '---', '---'], ...cells];
  const wrong = rows.filter(({ answer, expected }) => !isExpected(answer, expected)).length;
  const lines = table.map((row) => `| ${row.map(escaped).join(' | ')} |`);
  return [...lines, '', `${rows.length} cases, ${wrong} wrong`, '', ...figures].join('\n');
}

function isExpected(answer: string, expected: string): boolean {
  return expected.split(' or ').includes(answer);
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replace(/[^\x20-\x7e]/g, (character) => JSON.stringify(character).slice(1, -1));
}

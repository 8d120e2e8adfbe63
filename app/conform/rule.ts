import type { Exchange } from './http/exchange.ts';
import type { Suite } from './suite.ts';

/**
 * Where a rule comes from: the documented page of the operation, in words or YAML that stand in `openapi.yaml`; another
 * part of `openapi.yaml`; or, where both are silent, what Sandpit takes them to mean.
 */
export type Source = { page: string } | { contract: string } | { reading: string };

export type Rule = {
  id: string;
  title: string;
  source: Source;
  /** Passes by returning; throws Failure or Skip. */
  run: (suite: Suite) => Promise<void>;
};

/** A server that breaks a rule. */
export class Failure extends Error {
  override name = 'Failure';
  readonly expected: string;
  readonly got: string;
  readonly exchange: Exchange;

  /** `got` says what is wrong with the exchange's answer, where that isn't plain from the answer itself. */
  constructor(exchange: Exchange, expected: string, got = '') {
    super(`expected ${expected}`);
    this.expected = expected;
    this.got = got;
    this.exchange = exchange;
  }
}

/** A rule that can't be judged here; the message says why, and what would help. */
export class Skip extends Error {
  override name = 'Skip';
}

/** Returns the words a rule comes from, and whose they are. */
export function sourceText(source: Source): string {
  if ('reading' in source) return `Sandpit's reading: ${source.reading}`;
  return 'page' in source ? `"${source.page}"` : `"${source.contract}" (openapi.yaml)`;
}

export function isDocumented({ source }: Rule): boolean {
  return 'page' in source;
}

import type { Exchange } from './http/exchange.ts';

/** The server breaks a rule. */
export class Failure extends Error {
  override name = 'Failure';
  readonly expected: string;
  readonly got: string;
  readonly exchange: Exchange;

  /** `got` describes what is wrong with the answer, unless the answer itself shows it. */
  constructor(exchange: Exchange, expected: string, got = '') {
    super(`expected ${expected}`);
    this.expected = expected;
    this.got = got;
    this.exchange = exchange;
  }
}

/** A rule cannot be tested here; the message says why, and what would help. */
export class Skip extends Error {
  override name = 'Skip';
}

import { randomBytes } from 'node:crypto';
import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { defaultLifetimeSeconds, maxLifetimeSeconds } from '../../spec/limits.ts';
import { type Contract, loadContract, type Parameter, parametersOf } from '../../spec/load.ts';
import { responseChecker } from '../../spec/responses.ts';
import { type Client, createClient, listPath } from './http/client.ts';
import type { Exchange } from './http/exchange.ts';
import { Maker, runMember } from './sandboxes/maker.ts';
import type { MakerOptions } from './sandboxes/sandbox.ts';

export type Options = {
  url: string;
  apiKey?: string | undefined;
  bearer?: string | undefined;
  secondApiKey?: string | undefined;
  template?: string | undefined;
  /** Whether to test with existing sandboxes, and make none. */
  isExisting: boolean;
  sandboxes: number;
  seed: number;
  maxRequests: number;
  maxSeconds: number;
  requestSeconds: number;
  /** How long a change may take to show in a list. */
  settleSeconds: number;
  /** How many requests a generated rule sends, unless one fails. */
  generated: number;
  stop?: AbortSignal | undefined;
};

/** A sandbox that exists, and the metadata that it must have. */
export type Known = { id: string; metadata: JsonObject };

/** An answer that breaks the contract. */
export type Breach = { exchange: Exchange; problem: string };

/** What rules work with. */
export type Suite = {
  options: Options;
  client: Client;
  contract: Contract;
  parameters: Parameter[];
  /** The contract's bounds and default of the parameter `limit`. */
  limits: { minimum: number; maximum: number; default: number };
  /** Null with `isExisting`. */
  maker: Maker | null;
  /** In the server's order: the suite's own sandboxes, or without a maker all that are listed. */
  known: Known[];
  breaches: Breach[];
  /** Returns a filter, as JSON text, that also requires the run's own metadata. */
  narrowed: (filter: string) => string;
};

/** Returns a suite that is ready to send requests; it has sent none. */
export function createSuite(options: Options): Suite {
  const contract = loadContract();
  const operation = contract.paths[listPath]?.get;
  if (!operation) throw new Error(`openapi.yaml has no ${listPath}`);
  const parameters = parametersOf(contract, operation);
  const limits = limitsOf(parameters);
  const breaches: Breach[] = [];
  const client = createClient({ ...options, onExchange: breachCollector(options.url, contract, breaches) });
  const run = randomBytes(16).toString('hex');
  const maker = options.isExisting ? null : new Maker(client, makerOptions(run, options, limits.maximum));
  return {
    options,
    client,
    contract,
    parameters,
    limits,
    maker,
    known: [],
    breaches,
    narrowed: (filter) => (maker ? joined(`{${runMember(run)}}`, filter) : filter),
  };
}

/** Returns a listener that adds each breach in an answer to a list. */
function breachCollector(url: string, contract: Contract, breaches: Breach[]): (exchange: Exchange) => void {
  const check = responseChecker(contract);
  return (exchange) => {
    const { sent, ...answer } = exchange;
    const path = sent.url.slice(url.length).split('?')[0] ?? '';
    // The requests that make and end sandboxes are not tested.
    const problem = path === listPath ? check({ method: sent.method, path, ...answer }) : null;
    if (problem) breaches.push({ exchange, problem });
  };
}

/** The sandboxes outlive the run, but not for long if they cannot be ended. */
function makerOptions(
  run: string,
  { apiKey, template, settleSeconds, maxSeconds }: Options,
  maxLimit: number,
): MakerOptions {
  const lifetimeSeconds = Math.min(maxLifetimeSeconds, Math.max(defaultLifetimeSeconds, maxSeconds + 120));
  return { run, apiKey, lifetimeSeconds, template, settleSeconds, maxLimit };
}

function limitsOf(parameters: Parameter[]): Suite['limits'] {
  return parameters.find(({ name }) => name === 'limit')?.schema as Suite['limits'];
}

/** Returns the JSON text of an object with the members of all of these objects. */
export function joined(...texts: string[]): string {
  const inner = texts.map((text) => text.trim().slice(1, -1).trim());
  return `{${inner.filter((members) => members !== '').join(',')}}`;
}

/** Returns the parsed filter. */
export function parseFilter(text: string): JsonObject {
  return parseJson(text) as JsonObject;
}

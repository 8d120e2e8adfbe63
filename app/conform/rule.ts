import type { Suite } from './suite.ts';

/**
 * Where a rule comes from: `page` quotes the documented page of the operation, in words or YAML of
 * `openapi.yaml`; `contract` quotes another part of `openapi.yaml`; `reading` is Sandpit's own
 * interpretation, where both are silent.
 */
export type Source = { page: string } | { contract: string } | { reading: string };

export type Rule = {
  id: string;
  title: string;
  source: Source;
  /** Resolves if the server passes; throws Failure or Skip otherwise. */
  run: (suite: Suite) => Promise<void>;
};

/** Returns a rule's source for people. */
export function sourceText(source: Source): string {
  if ('reading' in source) return `Sandpit's reading: ${source.reading}`;
  return 'page' in source ? `"${source.page}"` : `"${source.contract}" (openapi.yaml)`;
}

/** Whether the rule quotes the documented page. */
export function isDocumented({ source }: Rule): boolean {
  return 'page' in source;
}

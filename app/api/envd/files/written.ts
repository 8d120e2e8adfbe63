import type { Entry } from '../../../machines/agent/entry.ts';

/** A file as the answer to an upload describes it. */
export type Written = { path: string; name: string; type: 'file'; metadata?: Record<string, string> };

export function written({ path, name, metadata }: Entry): Written {
  const hasMetadata = Object.keys(metadata).length > 0;
  return { path, name, type: 'file', ...(hasMetadata && { metadata }) };
}

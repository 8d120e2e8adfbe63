import { type JsonObject, maxDepth, parseJson } from '../../db/json/json.ts';
import { readJson } from '../../db/json/reader.ts';
import { defaultSize, type NewSandbox } from '../../db/sandboxes/insert.ts';
import { type Contract, loadContract, type Schema } from '../../spec/load.ts';
import { readTime, type Time } from '../../spec/time.ts';
import type { components } from '../../spec/types.gen.ts';
import { ProblemList } from '../contract/problems/problem-list.ts';
import { shortened } from '../contract/problems/shown-problems.ts';
import type { Problem } from '../errors.ts';
import { keptSettings } from '../network.ts';

/** One line of an export. */
export type SandboxRecord = components['schemas']['SandboxRecord'];

/** An error names this many problems of a line, and counts the rest. */
const maxShown = 10;

/** Loaded once, because the schema checker caches by contract. */
let contract: Contract | undefined;

/**
 * Returns the record in a line of JSON. Throws an Error that lists where it breaks the schema, and
 * how.
 */
export function parseRecord(text: string): SandboxRecord {
  const record = parseJson(text, maxDepth + 1);
  contract ??= loadContract();
  const list = new ProblemList(contract);
  list.check([], contract.components.schemas.SandboxRecord as Schema, readJson(text));
  const { problems, unlisted } = list;
  if (problems.length === 0) return record as SandboxRecord;
  const more = problems.length - maxShown + unlisted;
  throw new Error(problems.slice(0, maxShown).map(problemText).join('; ') + (more > 0 ? `; and ${more} more` : ''));
}

function problemText({ loc, msg, ctx }: Problem): string {
  const reason = typeof ctx?.error === 'string' ? ctx.error : msg;
  return loc.length === 0 ? reason : `${loc.map(shortened).join('.')}: ${reason}`;
}

/** Returns the sandbox to insert for a valid record. */
export function toSandbox(record: SandboxRecord, ownerId: number): NewSandbox {
  return {
    id: record.sandbox_id,
    ownerId,
    templateId: record.template_id ?? null,
    metadata: record.metadata as JsonObject,
    env: record.env ?? null,
    memoryMb: record.memory_mb ?? defaultSize.memoryMb,
    vcpuCount: record.vcpu_count ?? defaultSize.vcpuCount,
    startedAt: timeOf(record.started_at),
    endAt: record.end_at ? timeOf(record.end_at) : null,
    status: record.status,
    onTimeout: record.on_timeout,
    firstStartedAt: record.first_started_at ? timeOf(record.first_started_at) : null,
    settings: record.settings && (keptSettings(record.settings) as JsonObject),
  };
}

/** The schema has checked the format. */
function timeOf(text: string): number {
  return (readTime(text) as Time).milliseconds;
}

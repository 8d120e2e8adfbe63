import { type AliasedRawBuilder, sql } from 'kysely';
import { query } from '../prepared.ts';
import type { Db } from '../store.ts';

/**
 * Metadata and settings may take 64 KiB each, and a list may have a thousand sandboxes: what is larger than this, in
 * bytes, is read one at a time, when it is its turn to be sent.
 */
const largeText = 2048;

/** A row of a list whose texts may not have been read. */
export type Unread = {
  id: string;
  /** Null: it is large, and `wholeSandboxes` reads it, and the settings with it. */
  metadata: string | null;
};

type Text = 'metadata' | 'settings';

export const smallMetadata = smallText('metadata', ['metadata', 'settings']);
export const smallSettings = smallText('settings', ['metadata', 'settings']);

/** Returns the SQL of a text that is null where these texts, among them this one, are large together. */
export function smallText<Name extends Text>(name: Name, texts: Text[]): AliasedRawBuilder<string | null, Name> {
  const lengths = texts.map((text) => sql`coalesce(octet_length(${sql.ref(text)}), 0)`);
  const isSmall = sql`${sql.join(lengths, sql` + `)} <= ${sql.lit(largeText)}`;
  return sql<string | null>`case when ${isSmall} then ${sql.ref(name)} end`.as(name);
}

/** Returns the metadata of a row as JSON text: an empty object where it was deleted meanwhile. */
export async function metadataOf(db: Db, { id, metadata }: Unread): Promise<string> {
  return metadata ?? (await selectTexts(db, { id }))[0]?.metadata ?? '{}';
}

/** Says whether all texts of the rows have been read. */
export function areWhole<R extends Unread>(rows: R[]): rows is (R & { metadata: string })[] {
  return rows.every(({ metadata }) => metadata !== null);
}

/** Yields the rows whole, one after another. Those that were deleted meanwhile are left out. */
export async function* wholeSandboxes<R extends Unread>(db: Db, rows: R[]): AsyncGenerator<R & { metadata: string }> {
  for (const row of rows) {
    const { metadata } = row;
    const texts = metadata === null ? (await selectTexts(db, { id: row.id }))[0] : { metadata };
    if (texts) yield { ...row, ...texts };
  }
}

const selectTexts = query<{ id: string }, { metadata: string; settings: string | null }>((db, value) =>
  db.selectFrom('sandboxes').select(['metadata', 'settings']).where('id', '=', value('id')),
);

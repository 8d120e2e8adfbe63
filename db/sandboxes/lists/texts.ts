import { type AliasedRawBuilder, sql } from 'kysely';
import { query } from '../../prepared.ts';
import type { Db } from '../../store.ts';

/**
 * In bytes. Metadata and settings may take 64 KiB each, and a list may have a thousand sandboxes:
 * larger texts are read one at a time, just before they are sent.
 */
const largeText = 2048;

/** A row of a list, whose texts may not have been read yet. */
export type Unread = {
  id: string;
  /** null: the texts are large; `wholeSandboxes` reads them */
  metadata: string | null;
};

type Text = 'metadata' | 'settings';

export const smallMetadata = smallText('metadata', ['metadata', 'settings']);
export const smallSettings = smallText('settings', ['metadata', 'settings']);

/** Returns SQL for a text, or null if the given texts, of which it is one, are large together. */
export function smallText<Name extends Text>(name: Name, texts: Text[]): AliasedRawBuilder<string | null, Name> {
  const lengths = texts.map((text) => sql`coalesce(octet_length(${sql.ref(text)}), 0)`);
  const isSmall = sql`${sql.join(lengths, sql` + `)} <= ${sql.lit(largeText)}`;
  return sql<string | null>`case when ${isSmall} then ${sql.ref(name)} end`.as(name);
}

/** Returns a row's metadata as JSON text; an empty object if the sandbox was deleted in between. */
export async function metadataOf(db: Db, { id, metadata }: Unread): Promise<string> {
  return metadata ?? (await selectTexts(db, { id }))[0]?.metadata ?? '{}';
}

/** Returns whether all texts of the rows have been read. */
export function areWhole<R extends Unread>(rows: R[]): rows is (R & { metadata: string })[] {
  return rows.every(({ metadata }) => metadata !== null);
}

/** Yields the rows with their texts, one at a time. Leaves out those deleted in between. */
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

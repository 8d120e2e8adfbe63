import type { ComponentChildren } from 'preact';
import { html } from '../html.ts';

/** A table that scrolls sideways where the page is narrow. `empty` stands in for no rows. */
export function Table<Row>({
  caption,
  columns,
  rows,
  keyOf,
  cells,
  empty,
}: {
  caption: string;
  columns: string[];
  rows: readonly Row[] | null;
  keyOf: (row: Row) => string | number;
  cells: (row: Row) => ComponentChildren[];
  empty: string;
}) {
  if (rows === null) return html`<p class="note" aria-busy="true">Loading...</p>`;
  if (rows.length === 0) return html`<p class="note">${empty}</p>`;
  return html`
    <div class="scroll" role="region" aria-label=${caption} tabindex="0">
      <table>
        <caption class="unseen">${caption}</caption>
        <thead><tr>${columns.map((column) => html`<th key=${column} scope="col">${column || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
        <tbody>
          ${rows.map((row) => html`<tr key=${keyOf(row)}>${cells(row).map((cell, place) => html`<td data-column=${columns[place]}>${cell}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>
  `;
}

import { html } from '../html.ts';

/** How many pairs and characters a row shows. Metadata may have 1,000 keys of 64 KiB. */
const mostPairs = 5;
const mostCharacters = 40;

type Pair = [key: string, value: unknown];

/**
 * Metadata as buttons that filter by their pair. Names and values come from anybody: they are
 * isolated, so that marks which turn the reading direction do not leak, and cut.
 */
export function Chips({ metadata, onPick }: { metadata: Record<string, unknown>; onPick: (pair: Pair) => void }) {
  const pairs = Object.entries(metadata);
  const shown = pairs.slice(0, mostPairs);
  return html`
    <span class="chips">
      ${shown.map(
        (pair) => html`
          <button key=${pair[0]} type="button" class="chip" title="Show only sandboxes with this" onClick=${() => onPick(pair)}>
            <bdi>${cut(pair[0])}</bdi>: <bdi>${cut(textOf(pair[1]))}</bdi>
          </button>
        `,
      )}
      ${pairs.length > shown.length && html`<span class="note">and ${pairs.length - shown.length} more</span>`}
    </span>
  `;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Returns text that fits a chip, with control characters made visible. */
export function cut(text: string, most = mostCharacters): string {
  const visible = text.slice(0, most).replace(/\p{Cc}/gu, '\u{FFFD}');
  return text.length > most ? `${visible}...` : visible;
}

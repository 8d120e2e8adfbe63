import { html } from '../html.ts';

/** A status as a word with a colour. */
export function Status({ status }: { status: string }) {
  return html`<span class=${`status ${status}`}>${status === 'suspended' ? 'paused' : status}</span>`;
}

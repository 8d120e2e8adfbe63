import { useState } from 'preact/hooks';
import { html } from '../html.ts';

/** Text to copy, with a button that copies it. */
export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [words, setWords] = useState(label);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setWords('Copied');
    } catch {
      // Only secure pages may write to the clipboard: https, or loopback.
      setWords('Select it and copy it by hand');
    }
    setTimeout(() => setWords(label), 2000);
  };
  return html`<div class="copy"><pre tabindex="0">${text}</pre><button type="button" class="quiet" onClick=${copy}>${words}</button></div>`;
}

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { html } from '../html.ts';

/** A dialog above the page, with a title. Escape and a click beside it close it. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return html`
    <dialog ref=${dialog} onClose=${onClose} aria-label=${title} onClick=${(event: MouseEvent) => {
      if (event.target === dialog.current) dialog.current?.close();
    }}>
      <div class="dialog">
        <h2>${title}</h2>
        ${children}
      </div>
    </dialog>
  `;
}

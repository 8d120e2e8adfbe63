import { useEffect, useState } from 'preact/hooks';
import { call, type Sandbox } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction } from '../parts/action.ts';
import { objectIn } from '../sandboxes/start.ts';

/** A sandbox's metadata, to edit. What one has begun to change stays when the sandbox changes. */
export function Metadata({ sandbox, onSaved }: { sandbox: Sandbox; onSaved: () => void }) {
  const stored = JSON.stringify(sandbox.metadata, null, 2);
  const [text, setText] = useState(stored);
  const [base, setBase] = useState(stored);
  const { run, isBusy, problem } = useAction();
  const isChanged = text !== base;
  useEffect(() => {
    if (isChanged) return;
    setText(stored);
    setBase(stored);
  }, [stored]);
  const save = async (event: Event) => {
    event.preventDefault();
    const path = `v1/vms/${encodeURIComponent(sandbox.vm_id)}`;
    const isSaved = await run(async () => {
      await call('PATCH', path, { json: { metadata: objectIn(text, 'The metadata') } });
      setBase(text);
    });
    if (isSaved) onSaved();
  };
  const hasEnded = sandbox.status === 'killed';
  return html`
    <section aria-labelledby="metadata">
      <h2 id="metadata">Metadata</h2>
      <form onSubmit=${save}>
        <textarea aria-labelledby="metadata" rows="8" spellcheck=${false} readonly=${hasEnded} value=${text}
          onInput=${(event: Event) => setText((event.target as HTMLTextAreaElement).value)}></textarea>
        ${isChanged && stored !== base && html`<p class="problem">Somebody else has changed it meanwhile: saving replaces that.</p>`}
        <${Problem} words=${problem} />
        ${
          !hasEnded &&
          html`<p class="buttons">
            <button disabled=${isBusy || !isChanged}>Save</button>
            <button type="button" class="quiet" disabled=${!isChanged} onClick=${() => {
              setText(stored);
              setBase(stored);
            }}>Undo</button>
          </p>`
        }
      </form>
    </section>
  `;
}

import { useState } from 'preact/hooks';
import { get, post, type Sandbox, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction, useLoaded } from '../parts/action.ts';
import { Dialog } from '../parts/dialog.ts';
import { goTo } from '../route.ts';

/** Returns the object in a text; an empty text is an empty object. Throws an Error in words. */
export function objectIn(text: string, what: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is no JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} must be a JSON object`);
  return value as Record<string, unknown>;
}

/** Asks for what a new sandbox needs, and starts it. */
export function Start({ onClose, onStarted }: { onClose: () => void; onStarted: () => void }) {
  const { run, isBusy, problem } = useAction();
  const names = useLoaded(templateNames, []).value ?? [];
  const [begun, setBegun] = useState(false);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(given.get(name) ?? '');
    setBegun(true);
    void run(async () => {
      const sandbox = await post<Sandbox>('v1/vms', {
        snapshot_id: text('template') || null,
        metadata: objectIn(text('metadata'), 'The metadata'),
        env: objectIn(text('env'), 'The environment'),
        vm_lifetime_seconds: Math.round(Number(text('minutes')) * 60),
        auto_suspend: given.get('pause') !== null,
      });
      onStarted();
      onClose();
      goTo('sandboxes', sandbox.vm_id);
    });
  };
  return html`
    <${Dialog} title="Start a sandbox" onClose=${onClose}>
      <form onSubmit=${submit}>
        <label>Template or snapshot
          <input name="template" list="templates" placeholder="base" autocomplete="off" spellcheck=${false} autofocus />
        </label>
        <datalist id="templates">${names.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
        <label>Minutes to live <input name="minutes" type="number" min="1" max="1440" value="60" required /></label>
        <label><input name="pause" type="checkbox" /> Pause it, instead of ending it, when its time is over</label>
        <label>Metadata (JSON) <textarea name="metadata" rows="3" spellcheck=${false} placeholder=${'{"env": "dev"}'}></textarea></label>
        <label>Environment variables (JSON) <textarea name="env" rows="2" spellcheck=${false} placeholder=${'{"NAME": "value"}'}></textarea></label>
        <${Problem} words=${problem} />
        <p class="buttons">
          <button disabled=${isBusy}>${isBusy && begun ? 'Starting...' : 'Start'}</button>
          <button type="button" class="quiet" onClick=${onClose}>Cancel</button>
        </p>
      </form>
    <//>
  `;
}

/**
 * Returns the names from which a sandbox can be started: of templates, and of the user's snapshots.
 */
async function templateNames(): Promise<string[]> {
  const [defaults, snapshots] = await Promise.all([
    get<{ names: string[] }[]>('default-templates').catch(() => []),
    get<Schemas['Snapshot'][]>('v1/snapshots', { limit: 100 }).catch(() => []),
  ]);
  const own = snapshots.map(({ name, snapshot_id: id }) => name ?? id);
  return [...new Set([...defaults.flatMap(({ names }) => names), ...own])];
}

import { get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';

/** What commands in a sandbox printed lately. */
export function Logs({ id }: { id: string }) {
  const path = `v2/sandboxes/${encodeURIComponent(id)}/logs`;
  const { value, problem, reload } = useLoaded(
    () => get<Schemas['SandboxLogsV2']>(path, { limit: 500, direction: 'backward' }),
    [path],
  );
  const lines = value?.logs.map(({ timestamp, message }) => `${timestamp} ${message}`).reverse();
  return html`
    <section aria-labelledby="logs">
      <div class="title"><h2 id="logs">Logs</h2><button class="quiet" onClick=${reload}>Reload</button></div>
      <${Problem} words=${problem} />
      ${lines?.length === 0 && html`<p class="note">No command has printed anything yet.</p>`}
      ${lines && lines.length > 0 && html`<pre class="log" tabindex="0">${lines.join('\n')}</pre>`}
    </section>
  `;
}

import { useState } from 'preact/hooks';
import { get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { useLoaded } from '../parts/action.ts';

/** Opens a port of the machine in another tab. */
export function Ports({ id }: { id: string }) {
  const [port, setPort] = useState('8080');
  const { value } = useLoaded(() => get<Schemas['SandboxDetail']>(`sandboxes/${encodeURIComponent(id)}`), [id]);
  if (!value?.domain || value.domain.endsWith('.invalid')) return null;
  const address = `${location.protocol}//${port}-${id}.${value.domain}`;
  return html`
    <section aria-labelledby="ports">
      <h2 id="ports">Ports</h2>
      <form class="filters" onSubmit=${(event: Event) => {
        event.preventDefault();
        open(address, '_blank', 'noopener');
      }}>
        <label>Port
          <input type="number" min="1" max="65535" required value=${port}
            onInput=${(event: Event) => setPort((event.target as HTMLInputElement).value)} />
        </label>
        <button class="quiet">Open</button>
        <code>${address}</code>
      </form>
    </section>
  `;
}

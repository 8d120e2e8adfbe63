import { useState } from 'preact/hooks';
import { type Event as Entry, get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';
import { cut } from '../parts/chips.ts';
import { Table } from '../parts/table.ts';
import { Ago } from '../parts/time.ts';
import { hrefOf } from '../route.ts';

type Wanted = { kind: string; sandbox: string };
const columns = ['When', 'What', 'About', 'By', 'Details'];

/** What happened, newest first, with filters by kind and sandbox. */
export function AuditPage() {
  const [wanted, setWanted] = useState<Wanted>({ kind: '', sandbox: '' });
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const kinds = useLoaded(() => get<Schemas['EventCatalog']>('v1/audit/catalog'), []).value?.events ?? [];
  const cursor = cursors.at(-1) ?? null;
  const query = { limit: 100, cursor, kind: wanted.kind || null, sandbox_id: wanted.sandbox || null };
  const { value, problem, reload } = useLoaded(
    () => get<Schemas['EventPage']>('v1/audit/events', query),
    [wanted, cursor],
  );
  const change = (next: Partial<Wanted>) => {
    setCursors([null]);
    setWanted({ ...wanted, ...next });
  };
  const cells = ({ at, kind, status, subject, sandbox_id: id, actor, details }: Entry) => [
    html`<${Ago} at=${at} />`,
    status === 'failure' ? html`${kind} <span class="status failed">failed</span>` : kind,
    id === null ? html`<bdi>${subject}</bdi>` : html`<a href=${hrefOf('sandboxes', id)}>${id}</a>`,
    actor.key_prefix ?? actor.via,
    html`<code>${cut(JSON.stringify(details), 120)}</code>`,
  ];
  return html`
    <h1>Audit log</h1>
    <form class="filters" onSubmit=${(event: SubmitEvent) => {
      event.preventDefault();
      change({ sandbox: String(new FormData(event.target as HTMLFormElement).get('sandbox')).trim() });
    }}>
      <label>Kind
        <select onChange=${(event: Event) => change({ kind: (event.target as HTMLSelectElement).value })}>
          <option value="">all</option>
          ${kinds.map(({ kind, description }) => html`<option key=${kind} value=${kind} title=${description}>${kind}</option>`)}
        </select>
      </label>
      <label>Sandbox <input name="sandbox" spellcheck=${false} autocomplete="off" /></label>
      <button class="quiet">Apply</button>
      <button type="button" class="quiet" onClick=${reload}>Reload</button>
    </form>
    <${Problem} words=${problem} />
    <${Table} caption="Events" columns=${columns} rows=${value?.events ?? null} keyOf=${({ event_id: id }: Entry) => id} cells=${cells}
      empty="Nothing has happened that matches." />
    <nav class="pager" aria-label="Pages of the audit log">
      <button class="quiet" disabled=${cursors.length === 1} onClick=${() => setCursors(cursors.slice(0, -1))}>Newer</button>
      <button class="quiet" disabled=${!value?.next_cursor} onClick=${() => setCursors([...cursors, value?.next_cursor ?? null])}>Older</button>
    </nav>
  `;
}

import { useState } from 'preact/hooks';
import type { Sandbox } from '../api/api.ts';
import type { StreamState } from '../api/stream.ts';
import { html } from '../html.ts';
import { Chips, cut } from '../parts/chips.ts';
import { Status } from '../parts/status.ts';
import { Table } from '../parts/table.ts';
import { Ago, Left } from '../parts/time.ts';
import { hrefOf } from '../route.ts';
import { Actions } from '../sandbox/actions.ts';
import { EndAll } from './end-all.ts';
import { FilterBar } from './filter-bar.ts';
import { type Listed, useSandboxes, type Wanted } from './list.ts';
import { Snippets } from './snippets.ts';
import { Start } from './start.ts';

const atFirst: Wanted = { metadata: '', statuses: ['active', 'paused'], template: '' };
const columns = ['Id', 'Template', 'Status', 'Metadata', 'Started', 'Time left', ''];

/** All sandboxes of the user: a live table, filters, and what can be done with many at once. */
export function SandboxesPage() {
  const [wanted, setWanted] = useState(atFirst);
  const [open, setOpen] = useState<'start' | 'end' | null>(null);
  const list = useSandboxes(wanted);
  const pick = ([key, value]: [string, unknown]) =>
    setWanted({ ...wanted, metadata: withPair(wanted.metadata, key, value) });
  const close = () => setOpen(null);
  const cells = (sandbox: Sandbox) => [
    html`<a href=${hrefOf('sandboxes', sandbox.vm_id)}>${sandbox.vm_id}</a>`,
    html`<bdi title=${sandbox.name}>${cut(sandbox.name)}</bdi>`,
    html`<${Status} status=${sandbox.status} />`,
    html`<${Chips} metadata=${sandbox.metadata} onPick=${pick} />`,
    html`<${Ago} at=${sandbox.started_at} />`,
    sandbox.status === 'active' ? html`<${Left} until=${sandbox.end_at} />` : '',
    html`<${Actions} sandbox=${sandbox} onDone=${list.refresh} />`,
  ];
  return html`
    <div class="title">
      <h1>Sandboxes</h1>
      <${Stream} state=${list.stream} />
      <button onClick=${() => setOpen('start')}>Start a sandbox</button>
      <button class="quiet" onClick=${() => setOpen('end')}>End all that match</button>
    </div>
    <${FilterBar} wanted=${wanted} onChange=${setWanted} problem=${list.problem} />
    <${Table} caption="Sandboxes" columns=${columns} rows=${list.rows} keyOf=${({ vm_id: id }: Sandbox) => id} cells=${cells}
      empty="No sandbox matches. Start one, or show other statuses." />
    <${Pager} list=${list} />
    <${Snippets} wanted=${wanted} />
    ${open === 'start' && html`<${Start} onClose=${close} onStarted=${list.refresh} />`}
    ${open === 'end' && html`<${EndAll} wanted=${wanted} onClose=${close} onEnded=${list.refresh} />`}
  `;
}

/** Adds a pair to the JSON text of a filter. Text that is no JSON object is given up for it. */
function withPair(text: string, key: string, value: unknown): string {
  let filter: unknown = {};
  try {
    filter = JSON.parse(text || '{}');
  } catch {
    // The server has said already what is wrong with it.
  }
  const kept = typeof filter === 'object' && filter !== null && !Array.isArray(filter) ? Object.entries(filter) : [];
  return JSON.stringify(Object.fromEntries([...kept, [key, value]]));
}

const streamWords = {
  connecting: 'connecting...',
  live: 'live',
  broken: 'not live: the event stream broke; trying again',
} as const;

function Stream({ state }: { state: StreamState }) {
  return html`<span class=${`stream ${state}`} role="status">${streamWords[state]}</span>`;
}

function Pager({ list: { page, hasMore, older, newer, rows } }: { list: Listed }) {
  if (rows === null || (page === 1 && !hasMore)) return null;
  return html`
    <nav class="pager" aria-label="Pages of sandboxes">
      <button class="quiet" disabled=${page === 1} onClick=${newer}>Newer</button>
      <span>Page ${page}</span>
      <button class="quiet" disabled=${!hasMore} onClick=${older}>Older</button>
    </nav>
  `;
}

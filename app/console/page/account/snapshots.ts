import { useState } from 'preact/hooks';
import { call, get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.ts';
import { Table } from '../parts/table.ts';
import { Ago } from '../parts/time.ts';
import { hrefOf } from '../route.ts';

type Snapshot = Schemas['Snapshot'];
type Template = Schemas['Template'];

/** What sandboxes can be started from: the user's snapshots, and the templates of everybody. */
export function SnapshotsPage() {
  const snapshots = useLoaded(() => get<Snapshot[]>('v1/snapshots', { limit: 1000 }), []);
  const templates = useLoaded(() => get<Template[]>('default-templates'), []);
  const [removing, setRemoving] = useState<Snapshot | null>(null);
  const snapshotCells = (snapshot: Snapshot) => [
    html`<bdi>${snapshot.name ?? snapshot.snapshot_id}</bdi>`,
    snapshot.vm_id === null ? '' : html`<a href=${hrefOf('sandboxes', snapshot.vm_id)}>${snapshot.vm_id}</a>`,
    snapshot.size_bytes === null ? '' : `${Math.ceil(snapshot.size_bytes / 2 ** 20)} MB`,
    snapshot.has_memory === null ? 'a record' : snapshot.has_memory ? 'files and memory' : 'files',
    html`<${Ago} at=${snapshot.created_at} />`,
    html`<button class="quiet" aria-label=${`Delete ${snapshot.snapshot_id}`} onClick=${() => setRemoving(snapshot)}>Delete</button>`,
  ];
  const templateCells = (template: Template) => [
    html`<bdi>${template.names.join(', ') || template.templateID}</bdi>`,
    template.buildStatus,
    `${template.cpuCount} virtual CPUs, ${template.memoryMB} MB`,
  ];
  return html`
    <h1>Snapshots and templates</h1>
    <h2>Your snapshots</h2>
    <${Problem} words=${snapshots.problem} />
    <${Table} caption="Your snapshots" columns=${['Name', 'Taken of', 'Size', 'Holds', 'Created', '']} rows=${snapshots.value}
      keyOf=${({ snapshot_id: id }: Snapshot) => id} cells=${snapshotCells} empty="You have no snapshots." />
    <h2>Templates</h2>
    <${Problem} words=${templates.problem} />
    <${Table} caption="Templates" columns=${['Name', 'Image', 'Size']} rows=${templates.value} keyOf=${({ templateID: id }: Template) => id}
      cells=${templateCells} empty="There are none: this server keeps records only, and takes any name." />
    ${
      removing &&
      html`<${Confirm} title="Delete this snapshot" words="No sandbox can be started from it any more. Those that were started from it run on."
        action="Delete it" work=${() => call('DELETE', `v1/snapshots/${encodeURIComponent(removing.snapshot_id)}`)}
        onClose=${() => setRemoving(null)} onDone=${() => {
          setRemoving(null);
          snapshots.reload();
        }} />`
    }
  `;
}

import { useEffect, useState } from 'preact/hooks';
import { get, type Sandbox } from '../api/api.ts';
import { type Inside, insideOf } from '../api/envd.ts';
import { listen } from '../api/stream.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';
import { Status } from '../parts/status.ts';
import { hrefOf } from '../route.ts';
import { Actions } from './actions.ts';
import { Facts } from './facts.ts';
import { Files } from './files.ts';
import { Logs } from './logs.ts';
import { Metadata } from './metadata.ts';
import { Ports } from './ports.ts';
import { Terminal } from './terminal.ts';
import { Timeline } from './timeline.ts';
import { Usage } from './usage.ts';

/** One sandbox: its record, its history, and with a machine what is inside it. */
export function SandboxPage({ id }: { id: string }) {
  const path = `v1/vms/${encodeURIComponent(id)}`;
  const { value: sandbox, problem, reload } = useLoaded(() => get<Sandbox>(path), [path]);
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const left = new AbortController();
    const onEvent = ({ sandbox_id: about }: { sandbox_id: string | null }) => {
      if (about !== id) return;
      reload();
      setChanges((count) => count + 1);
    };
    void listen({ onEvent, onState: () => {} }, left.signal);
    return () => left.abort();
  }, [id]);
  if (sandbox === null) return html`<h1>${id}</h1><${Problem} words=${problem} />`;
  const changed = () => {
    reload();
    setChanges((count) => count + 1);
  };
  return html`
    <p><a href=${hrefOf('sandboxes')}>Sandboxes</a></p>
    <div class="title">
      <h1>${id}</h1>
      <${Status} status=${sandbox.status} />
      <${Actions} sandbox=${sandbox} onDone=${changed} />
    </div>
    <div class="columns">
      <${Facts} sandbox=${sandbox} />
      <${Metadata} sandbox=${sandbox} onSaved=${changed} />
    </div>
    ${sandbox.status === 'active' && html`<${MachineParts} id=${id} run=${sandbox.started_at} />`}
    <${Timeline} id=${id} changes=${changes} />
    <${Logs} id=${id} />
  `;
}

/** What a sandbox with a machine offers while it runs. */
function MachineParts({ id, run }: { id: string; run: string }) {
  const { value, problem } = useLoaded(async () => ({ inside: await insideOf(id) }), [id, run]);
  if (problem !== null) return html`<${Problem} words=${problem} />`;
  if (value === null) return null;
  const { inside }: { inside: Inside | null } = value;
  if (inside === null)
    return html`<p class="note">This server keeps records only: there is no machine to look into.</p>`;
  return html`
    <${Usage} id=${id} />
    <${Terminal} inside=${inside} />
    <${Files} inside=${inside} />
    <${Ports} id=${id} />
  `;
}

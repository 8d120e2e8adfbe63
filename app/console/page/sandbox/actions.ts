import { useState } from 'preact/hooks';
import { call, post, type Sandbox } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.ts';

/** How long a sandbox gets when its time is extended or it is resumed. */
const seconds = 3600;

/** What can be done with a sandbox now. `onDone` is called after each. */
export function Actions({ sandbox: { vm_id: id, status }, onDone }: { sandbox: Sandbox; onDone: () => void }) {
  const { run, isBusy, problem } = useAction();
  const [isEnding, setEnding] = useState(false);
  if (status === 'killed') return null;
  const path = `v1/vms/${encodeURIComponent(id)}`;
  const act = (work: () => Promise<unknown>) => async () => {
    if (await run(work)) onDone();
  };
  const extend = act(() => call('PATCH', path, { json: { vm_lifetime_seconds: seconds } }));
  const pause = act(() => post(`${path}/suspend`));
  const resume = act(() => post(`${path}/resume`, { vm_lifetime_seconds: seconds }));
  const button = (label: string, title: string, onClick: () => void) => html`
    <button type="button" class="quiet" disabled=${isBusy} title=${title} aria-label=${`${label} ${id}`} onClick=${onClick}>${label}</button>
  `;
  return html`
    <span class="actions">
      ${status === 'active' && button('Extend', 'It lives for an hour from now', extend)}
      ${status === 'active' && button('Pause', 'Keep it without running it', pause)}
      ${status === 'suspended' && button('Resume', 'Let it run for an hour', resume)}
      ${button('End', 'End it for good', () => setEnding(true))}
    </span>
    <${Problem} words=${problem} />
    ${
      isEnding &&
      html`<${Confirm} title="End this sandbox" words=${`This ends ${id}, with everything in it. It cannot be undone.`} action="End it"
        work=${() => call('DELETE', path)} onClose=${() => setEnding(false)} onDone=${() => {
          setEnding(false);
          onDone();
        }} />`
    }
  `;
}

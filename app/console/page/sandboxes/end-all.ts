import { post, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction, useLoaded } from '../parts/action.ts';
import { Dialog } from '../parts/dialog.ts';
import type { Wanted } from './list.ts';
import { objectIn } from './start.ts';

type Killed = Schemas['KilledSandboxes'];

/** Ends the sandboxes that match the filter, after it has shown how many those are. */
export function EndAll({ wanted, onClose, onEnded }: { wanted: Wanted; onClose: () => void; onEnded: () => void }) {
  const { run, isBusy, problem } = useAction();
  const dryRun = useLoaded(async () => post<Killed>('v1/sandboxes/kill', { ...request(wanted), dry_run: true }), []);
  const found = dryRun.value;
  const end = () =>
    run(async () => {
      for (let more = true; more; ) more = (await post<Killed>('v1/sandboxes/kill', request(wanted))).has_more;
      onEnded();
      onClose();
    });
  const isTooWide = wanted.template !== '';
  return html`
    <${Dialog} title="End all that match" onClose=${onClose}>
      <p>${isTooWide ? 'A filter by template cannot end sandboxes: clear it, and filter by metadata.' : words(wanted, found)}</p>
      <${Problem} words=${problem ?? dryRun.problem} />
      <p class="buttons">
        <button class="danger" disabled=${isBusy || isTooWide || !found || found.count === 0} onClick=${end}>
          ${isBusy ? 'Ending...' : 'End them'}
        </button>
        <button class="quiet" autofocus onClick=${onClose}>Cancel</button>
      </p>
    <//>
  `;
}

/** Returns the body of the request: what the list shows, as far as it can be ended. */
function request({ metadata, statuses }: Wanted) {
  const filter = objectIn(metadata, 'The filter');
  const living = statuses.filter((status) => status !== 'killed');
  return {
    metadata: filter,
    ...(living.length === 1 && { status: living[0] }),
    ...(Object.keys(filter).length === 0 && living.length !== 1 && { all: true }),
  };
}

function words({ metadata, statuses }: Wanted, found: Killed | null): string {
  if (!found) return 'Counting...';
  const living = statuses.filter((status) => status !== 'killed').join(' and ') || 'active and paused';
  const which = metadata.trim() === '' ? 'all your' : 'the';
  const count = `${found.count}${found.has_more ? ' and more' : ''}`;
  const filter = metadata.trim() === '' ? '' : `, whose metadata contain ${metadata}`;
  return found.count === 0
    ? 'No sandbox matches.'
    : `This ends ${which} ${count} ${living} sandboxes${filter}. It cannot be undone.`;
}

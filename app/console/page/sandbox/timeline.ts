import { type Event, get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';
import { cut } from '../parts/chips.ts';
import { Ago } from '../parts/time.ts';

/** What has happened to a sandbox, newest first. `changes` counts what may have happened since. */
export function Timeline({ id, changes }: { id: string; changes: number }) {
  const query = { sandbox_id: id, limit: 100 };
  const { value, problem } = useLoaded(() => get<Schemas['EventPage']>('v1/audit/events', query), [id, changes]);
  const entry = ({ event_id: key, kind, at, actor, details }: Event) => html`
    <li key=${key}>
      <strong>${kind}</strong> <${Ago} at=${at} />
      <span class="note"> by ${actor.key_prefix ? `the key ${actor.key_prefix}` : actor.via}${detailsText(details)}</span>
    </li>
  `;
  return html`
    <section aria-labelledby="timeline">
      <h2 id="timeline">History</h2>
      <${Problem} words=${problem} />
      <ol class="timeline">${value?.events.map(entry)}</ol>
    </section>
  `;
}

function detailsText(details: Event['details']): string {
  const text = JSON.stringify(details);
  return text === '{}' ? '' : `: ${cut(text, 200)}`;
}

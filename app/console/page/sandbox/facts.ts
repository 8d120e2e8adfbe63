import type { Sandbox } from '../api/api.ts';
import { html } from '../html.ts';
import { Ago, Left } from '../parts/time.ts';

/** A sandbox's record. */
export function Facts({ sandbox }: { sandbox: Sandbox }) {
  const facts: [string, unknown][] = [
    ['Template', html`<bdi>${sandbox.name}</bdi>`],
    ['Session', html`<code>${sandbox.session_id ?? 'none'}</code>`],
    ['Created', html`<${Ago} at=${sandbox.created_at} />`],
    ['This run began', html`<${Ago} at=${sandbox.started_at} />`],
    ['Time left', sandbox.status === 'active' ? html`<${Left} until=${sandbox.end_at} />` : 'it does not run'],
    ['When its time is over', sandbox.auto_suspend ? 'it is paused' : 'it ends'],
    ['Size', `${sandbox.vcpu_count} virtual CPUs, ${sandbox.memory_mb} MB`],
  ];
  return html`
    <section aria-labelledby="facts">
      <h2 id="facts">Record</h2>
      <dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    </section>
  `;
}

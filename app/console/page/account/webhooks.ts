import { useState } from 'preact/hooks';
import { call, get, post, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction, useLoaded } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.ts';
import { Copy } from '../parts/copy.ts';
import { Status } from '../parts/status.ts';
import { Table } from '../parts/table.ts';
import { Ago } from '../parts/time.ts';

type Endpoint = Schemas['WebhookEndpoint'];
type Delivery = Schemas['WebhookDelivery'];

/** The user's webhook endpoints, with what was sent to them. */
export function WebhooksPage() {
  const { value, problem, reload } = useLoaded(() => get<Endpoint[]>('v1/webhooks/endpoints'), []);
  const [secret, setSecret] = useState<string | null>(null);
  const [removing, setRemoving] = useState<Endpoint | null>(null);
  const [chosen, setChosen] = useState<string>('');
  const { run, problem: failure } = useAction();
  const change = async (endpoint: Endpoint, json: object) => {
    if (await run(() => call('PATCH', `v1/webhooks/endpoints/${endpoint.id}`, { json }))) reload();
  };
  const test = (endpoint: Endpoint) => run(() => post(`v1/webhooks/endpoints/${endpoint.id}/test`));
  const cells = (endpoint: Endpoint) => [
    html`<bdi>${endpoint.url}</bdi>`,
    endpoint.event_patterns.join(', '),
    html`<${Status} status=${endpoint.status} />${endpoint.failing_since && html` <span class="note">failing since <${Ago} at=${endpoint.failing_since} /></span>`}`,
    html`<${Ago} at=${endpoint.created_at} />`,
    html`<span class="actions">
      <button class="quiet" onClick=${() => setChosen(endpoint.id)}>Deliveries</button>
      <button class="quiet" onClick=${() => test(endpoint)}>Send a test</button>
      <button class="quiet" onClick=${() => change(endpoint, { enabled: !endpoint.enabled })}>${endpoint.enabled ? 'Disable' : 'Enable'}</button>
      <button class="quiet" onClick=${() => setRemoving(endpoint)}>Delete</button>
    </span>`,
  ];
  return html`
    <h1>Webhooks</h1>
    <${Create} onCreated=${(created: string) => {
      setSecret(created);
      reload();
    }} />
    ${secret !== null && html`<div class="secret"><p>Messages are signed with this secret. It is not shown again:</p><${Copy} text=${secret} /></div>`}
    <${Problem} words=${failure ?? problem} />
    <${Table} caption="Webhook endpoints" columns=${['Address', 'Events', 'Status', 'Created', '']} rows=${value}
      keyOf=${({ id }: Endpoint) => id} cells=${cells} empty="You have no endpoints." />
    <${Deliveries} key=${chosen} endpoint=${chosen} onAll=${() => setChosen('')} />
    ${
      removing &&
      html`<${Confirm} title="Delete this endpoint" words=${`Nothing is sent to ${removing.url} any more.`} action="Delete it"
        work=${() => call('DELETE', `v1/webhooks/endpoints/${removing.id}`)} onClose=${() => setRemoving(null)}
        onDone=${() => {
          setRemoving(null);
          reload();
        }} />`
    }
  `;
}

function Create({ onCreated }: { onCreated: (secret: string) => void }) {
  const { run, isBusy, problem } = useAction();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const patterns = String(given.get('patterns') || '*')
      .split(/[\s,]+/)
      .filter(Boolean);
    void run(async () => {
      const json = { url: String(given.get('url')), event_patterns: patterns };
      const { secret } = await post<Schemas['WebhookEndpointWithSecret']>('v1/webhooks/endpoints', json);
      form.reset();
      onCreated(secret);
    });
  };
  return html`
    <form class="filters" onSubmit=${submit}>
      <label class="wide">Address <input name="url" type="url" required placeholder="https://example.com/hook" /></label>
      <label>Events <input name="patterns" placeholder="*, or vm.created vm.killed" /></label>
      <button disabled=${isBusy}>Add an endpoint</button>
    </form>
    <${Problem} words=${problem} />
  `;
}

/** What was sent, newest first: to one endpoint, or to all for an empty id. */
function Deliveries({ endpoint, onAll }: { endpoint: string; onAll: () => void }) {
  const [status, setStatus] = useState('');
  const query = { limit: 100, endpoint_id: endpoint || null, status: status || null };
  const load = () => get<Schemas['WebhookDeliveries']>('v1/webhooks/deliveries', query);
  const { value, problem, reload } = useLoaded(load, [status]);
  const { run, problem: failure } = useAction();
  const resend = async ({ id }: Delivery) => {
    if (await run(() => post(`v1/webhooks/deliveries/${id}/resend`))) reload();
  };
  const cells = (delivery: Delivery) => [
    delivery.kind,
    html`<${Status} status=${delivery.status} />`,
    String(delivery.attempts),
    delivery.error ?? (delivery.response_status === null ? '' : String(delivery.response_status)),
    html`<${Ago} at=${delivery.created_at} />`,
    html`<button class="quiet" onClick=${() => resend(delivery)}>Send again</button>`,
  ];
  const option = (value: string, label: string) =>
    html`<option value=${value} selected=${status === value}>${label}</option>`;
  return html`
    <h2>Deliveries${endpoint && html` to one endpoint <button class="quiet" onClick=${onAll}>Show all</button>`}</h2>
    <form class="filters">
      <label>Status
        <select onChange=${(event: Event) => setStatus((event.target as HTMLSelectElement).value)}>
          ${option('', 'all')}${option('pending', 'pending')}${option('succeeded', 'succeeded')}${option('failed', 'failed')}
        </select>
      </label>
      <button type="button" class="quiet" onClick=${reload}>Reload</button>
    </form>
    <${Problem} words=${failure ?? problem} />
    <${Table} caption="Deliveries" columns=${['Event', 'Status', 'Attempts', 'Answer', 'Created', '']} rows=${value?.deliveries ?? null}
      keyOf=${({ id }: Delivery) => id} cells=${cells} empty="Nothing was sent." />
  `;
}

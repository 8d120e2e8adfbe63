import { useState } from 'preact/hooks';
import { call, get, post, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useAction, useLoaded } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.ts';
import { Copy } from '../parts/copy.ts';
import { Table } from '../parts/table.ts';
import { Ago } from '../parts/time.ts';

type Key = Schemas['ApiKey'];
const columns = ['Key', 'Description', 'Permissions', 'Created', 'Last used', 'Expires', ''];

/** The user's API keys: to create, which shows the key once, and to revoke. */
export function KeysPage() {
  const { value, problem, reload } = useLoaded(() => get<Key[]>('v1/api-keys/'), []);
  const [shown, setShown] = useState<string | null>(null);
  const [revoking, setRevoking] = useState<Key | null>(null);
  const keys =
    value && [...value].sort((a, b) => Number(a.revoked_at !== null) - Number(b.revoked_at !== null) || b.id - a.id);
  const cells = (key: Key) => [
    html`<code>${key.prefix}...</code>`,
    html`<bdi>${key.description}</bdi>`,
    key.permissions.includes('write') ? 'read and write' : 'read',
    html`<${Ago} at=${key.created_at} />`,
    html`<${Ago} at=${key.last_used_at} />`,
    key.revoked_at ? html`revoked <${Ago} at=${key.revoked_at} />` : (key.expires_at ?? 'never'),
    key.revoked_at === null &&
      html`<button class="quiet" aria-label=${`Revoke ${key.prefix}`} onClick=${() => setRevoking(key)}>Revoke</button>`,
  ];
  return html`
    <h1>API keys</h1>
    <${Create} onCreated=${(key: string) => {
      setShown(key);
      reload();
    }} />
    ${shown !== null && html`<div class="secret"><p>This is the new key. It is not shown again:</p><${Copy} text=${shown} /></div>`}
    <${Problem} words=${problem} />
    <${Table} caption="API keys" columns=${columns} rows=${keys} keyOf=${({ id }: Key) => id} cells=${cells} empty="You have no keys." />
    ${
      revoking &&
      html`<${Confirm} title="Revoke this key" words=${`Programs that use ${revoking.prefix}... are refused from now on. It cannot be undone.`}
        action="Revoke it" work=${() => call('DELETE', `v1/api-keys/${revoking.id}`)} onClose=${() => setRevoking(null)}
        onDone=${() => {
          setRevoking(null);
          reload();
        }} />`
    }
  `;
}

function Create({ onCreated }: { onCreated: (key: string) => void }) {
  const { run, isBusy, problem } = useAction();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const days = Number(given.get('days'));
    void run(async () => {
      const { api_key: key } = await post<Schemas['CreatedApiKey']>('v1/api-keys/', {
        description: String(given.get('description')),
        permissions: given.get('write') === null ? ['read'] : ['read', 'write'],
        expires_at: days > 0 ? new Date(Date.now() + days * 86_400_000).toISOString() : null,
      });
      form.reset();
      onCreated(key);
    });
  };
  return html`
    <form class="filters" onSubmit=${submit}>
      <label>Description <input name="description" maxlength="256" required /></label>
      <label>Days until it expires <input name="days" type="number" min="1" max="36500" placeholder="never" /></label>
      <label><input name="write" type="checkbox" checked /> may change things</label>
      <button disabled=${isBusy}>Create a key</button>
    </form>
    <${Problem} words=${problem} />
  `;
}

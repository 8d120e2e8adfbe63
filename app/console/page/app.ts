import { useEffect, useRef, useState } from 'preact/hooks';
import { AuditPage } from './account/audit.ts';
import { HealthPage } from './account/health.ts';
import { KeysPage } from './account/keys.ts';
import { SnapshotsPage } from './account/snapshots.ts';
import { WebhooksPage } from './account/webhooks.ts';
import { get, type Schemas } from './api/api.ts';
import { html } from './html.ts';
import { hrefOf, type Route, useRoute } from './route.ts';
import { SandboxPage } from './sandbox/page.ts';
import { SandboxesPage } from './sandboxes/page.ts';
import { signOut, useSession } from './session.ts';
import { SignIn } from './sign-in.ts';

const pages = [
  ['sandboxes', 'Sandboxes'],
  ['snapshots', 'Snapshots and templates'],
  ['keys', 'API keys'],
  ['webhooks', 'Webhooks'],
  ['audit', 'Audit log'],
  ['health', 'Health'],
] as const;

/** The console. `problem` says why the link that opened it did not sign in. */
export function App({ problem }: { problem: string | null }) {
  const session = useSession();
  if (session.credential === null) return html`<${SignIn} problem=${session.farewell ?? problem} />`;
  return html`<${Shell} key=${session.credential.secret} />`;
}

function Shell() {
  const route = useRoute();
  const place = route[0] ?? 'sandboxes';
  const main = useRef<HTMLElement>(null);
  const [user, setUser] = useState('');
  useEffect(() => {
    get<Schemas['CurrentUser']>('v1/users/me').then(
      ({ name }) => setUser(name),
      () => {},
    );
  }, []);
  const link = ([path, title]: (typeof pages)[number]) => html`
    <li><a href=${hrefOf(path)} aria-current=${place === path ? 'page' : undefined}>${title}</a></li>
  `;
  return html`
    <a class="skip" href="#main" onClick=${(event: Event) => {
      event.preventDefault();
      main.current?.focus();
    }}>Skip to the content</a>
    <header>
      <strong>Sandpit</strong>
      <nav aria-label="Pages"><ul>${pages.map(link)}</ul></nav>
      <span class="user">${user}</span>
      <a href="../docs" target="_blank" rel="noopener">API</a>
      <button class="quiet" onClick=${() => signOut()}>Sign out</button>
    </header>
    <main ref=${main} tabindex="-1"><${Page} route=${route} /></main>
  `;
}

function Page({ route: [place = 'sandboxes', id] }: { route: Route }) {
  useEffect(() => {
    document.title = `${id ?? pages.find(([path]) => path === place)?.[1] ?? 'Sandpit'} · Sandpit`;
  }, [place, id]);
  if (place === 'sandboxes' && id !== undefined) return html`<${SandboxPage} key=${id} id=${id} />`;
  if (place === 'sandboxes') return html`<${SandboxesPage} />`;
  if (place === 'snapshots') return html`<${SnapshotsPage} />`;
  if (place === 'keys') return html`<${KeysPage} />`;
  if (place === 'webhooks') return html`<${WebhooksPage} />`;
  if (place === 'audit') return html`<${AuditPage} />`;
  if (place === 'health') return html`<${HealthPage} />`;
  return html`<h1>There is no such page</h1><p><a href=${hrefOf('sandboxes')}>Go to the sandboxes</a></p>`;
}

import { useState } from 'preact/hooks';
import { addressOf } from '../api/call.ts';
import { html } from '../html.ts';
import { Copy } from '../parts/copy.ts';
import type { Wanted } from './list.ts';

const ways = { curl, Python: python, JavaScript: javascript };
type Way = keyof typeof ways;

/** The calls that give what the list shows, to copy. */
export function Snippets({ wanted }: { wanted: Wanted }) {
  const [way, setWay] = useState<Way>('curl');
  const tab = (name: Way) => html`
    <label><input type="radio" name="snippet" checked=${way === name} onChange=${() => setWay(name)} /> ${name}</label>
  `;
  return html`
    <details class="snippets">
      <summary>The same from a program</summary>
      <fieldset><legend class="unseen">Language</legend>${(Object.keys(ways) as Way[]).map(tab)}</fieldset>
      <${Copy} key=${way} text=${ways[way](wanted)} />
    </details>
  `;
}

/** Returns the list of this page, with all its filters. */
function curl({ metadata, statuses, template }: Wanted): string {
  const parameters = [
    ...(metadata.trim() ? [`metadata=${metadata.trim()}`] : []),
    ...statuses.map((status) => `statuses=${status}`),
    ...(template ? [`template_id=${template}`] : []),
  ];
  const data = parameters.map((parameter) => ` \\\n  --data-urlencode ${quoted(parameter)}`).join('');
  return `curl -sG -H "X-API-Key: $KEY" ${quoted(addressOf('v1/vms/'))}${data}`;
}

/** Quotes for a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns the contract's list with InstaVM's client, which filters by metadata only. */
function python({ metadata }: Wanted): string {
  const filter = parsed(metadata);
  const argument = filter === null ? '' : `metadata=${pythonOf(filter)}`;
  return [
    'from instavm import InstaVM',
    `client = InstaVM(KEY, base_url=${JSON.stringify(baseAddress())}, auto_start_session=False)`,
    `print(client.list_sandboxes(${argument}))`,
  ].join('\n');
}

/** Returns E2B's list, whose metadata are texts. */
function javascript({ metadata, statuses, template }: Wanted): string {
  const filter = parsed(metadata);
  const states = statuses
    .filter((status) => status !== 'killed')
    .map((status) => (status === 'active' ? 'running' : status));
  const query = {
    ...(filter !== null && {
      metadata: Object.fromEntries(Object.entries(filter).map(([key, value]) => [key, textOf(value)])),
    }),
    ...(states.length > 0 && { state: states }),
    ...(template && { template }),
  };
  return [
    "import { Sandbox } from 'e2b'; // reads E2B_API_KEY, E2B_API_URL and E2B_SANDBOX_URL",
    `const pages = Sandbox.list(${JSON.stringify({ query })});`,
    'while (pages.hasNext) console.log(await pages.nextItems());',
  ].join('\n');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Returns the address of the API without a slash at its end. */
export function baseAddress(): string {
  return addressOf('').replace(/\/$/, '');
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function pythonOf(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(pythonOf).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}: ${pythonOf(each)}`)
    .join(', ')}}`;
}

import { useState } from 'preact/hooks';
import { ask, type Entry, type Inside, procedure } from '../api/envd.ts';
import { html } from '../html.ts';
import { Problem, useAction, useLoaded } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.ts';
import { Table } from '../parts/table.ts';
import { Ago } from '../parts/time.ts';

const home = '/home/user';
/** More entries of a folder are not drawn. */
const mostShown = 1000;

/** The machine's files: to browse, upload, download and remove. */
export function Files({ inside }: { inside: Inside }) {
  const [folder, setFolder] = useState(home);
  const { run, isBusy, problem } = useAction();
  const [removing, setRemoving] = useState<Entry | null>(null);
  const load = () =>
    procedure<{ entries?: Entry[] }>(inside, 'filesystem.Filesystem/ListDir', { path: folder, depth: 1 });
  const { value, problem: failure, reload } = useLoaded(load, [folder]);
  const entries = value?.entries ?? (value && []);
  const upload = async (event: Event) => {
    const input = event.target as HTMLInputElement;
    for (const file of input.files ?? []) await run(() => uploadFile(inside, `${folder}/${file.name}`, file));
    input.value = '';
    reload();
  };
  const name = (entry: Entry) => html`
    <button type="button" class="link" onClick=${() =>
      entry.type === 'FILE_TYPE_DIRECTORY' ? setFolder(entry.path) : run(() => download(inside, entry))}>
      <bdi>${entry.name}</bdi>${entry.type === 'FILE_TYPE_DIRECTORY' ? '/' : ''}
    </button>
  `;
  const cells = (entry: Entry) => [
    name(entry),
    entry.type === 'FILE_TYPE_DIRECTORY' ? '' : `${entry.size} bytes`,
    `${entry.permissions} ${entry.owner}`,
    html`<${Ago} at=${entry.modifiedTime} />`,
    html`<button type="button" class="quiet" aria-label=${`Remove ${entry.name}`} onClick=${() => setRemoving(entry)}>Remove</button>`,
  ];
  return html`
    <section aria-labelledby="files">
      <h2 id="files">Files</h2>
      <form class="filters" onSubmit=${(event: SubmitEvent) => {
        event.preventDefault();
        setFolder(String(new FormData(event.target as HTMLFormElement).get('folder')) || '/');
      }}>
        <label class="wide">Folder <input name="folder" key=${folder} defaultValue=${folder} spellcheck=${false} /></label>
        <button class="quiet">Open</button>
        <button type="button" class="quiet" onClick=${() => setFolder(parentOf(folder))}>Up</button>
        <button type="button" class="quiet" onClick=${reload}>Reload</button>
        <label class="upload">${isBusy ? 'Uploading...' : 'Upload files'}
          <input type="file" multiple disabled=${isBusy} onChange=${upload} />
        </label>
      </form>
      <${Problem} words=${problem ?? failure} />
      <${Table} caption="Files" columns=${['Name', 'Size', 'Access', 'Changed', '']} rows=${entries?.slice(0, mostShown) ?? null}
        keyOf=${({ path }: Entry) => path} cells=${cells} empty="This folder is empty." />
      ${entries && entries.length > mostShown && html`<p class="note">These are ${mostShown} of ${entries.length} entries.</p>`}
      ${
        removing &&
        html`<${Confirm} title="Remove" words=${`This removes ${removing.path}, a folder with all that is in it.`} action="Remove it"
          work=${() => procedure(inside, 'filesystem.Filesystem/Remove', { path: removing.path })}
          onClose=${() => setRemoving(null)} onDone=${() => {
            setRemoving(null);
            reload();
          }} />`
      }
    </section>
  `;
}

function parentOf(folder: string): string {
  return folder.replace(/\/[^/]*\/?$/, '') || '/';
}

async function uploadFile(inside: Inside, path: string, file: File): Promise<void> {
  const body = new FormData();
  body.append('file', file);
  await ask(inside, 'POST', 'files', { query: { path }, body });
}

/** Lets the browser save a file. It is in the page's memory meanwhile. */
async function download(inside: Inside, { path, name }: Entry): Promise<void> {
  const answer = await ask(inside, 'GET', 'files', { query: { path } });
  const address = URL.createObjectURL(await answer.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

import { useEffect, useState } from 'preact/hooks';
import { html } from '../html.ts';
import { Problem } from '../parts/action.ts';
import type { Wanted } from './list.ts';

const statuses = ['active', 'paused', 'killed'] as const;

/** The filters of the list. The server's own error about the JSON stands below its field. */
export function FilterBar({
  wanted,
  onChange,
  problem,
}: {
  wanted: Wanted;
  onChange: (wanted: Wanted) => void;
  problem: string | null;
}) {
  const [text, setText] = useState(wanted.metadata);
  const [template, setTemplate] = useState(wanted.template);
  useEffect(() => setText(wanted.metadata), [wanted.metadata]);
  const apply = (event: Event) => {
    event.preventDefault();
    onChange({ ...wanted, metadata: text.trim(), template: template.trim() });
  };
  const toggle = (status: string, isOn: boolean) => {
    const next = statuses.filter((each) => (each === status ? isOn : wanted.statuses.includes(each)));
    if (next.length > 0) onChange({ ...wanted, statuses: next });
  };
  const clear = () => {
    setText('');
    setTemplate('');
    onChange({ ...wanted, metadata: '', template: '' });
  };
  const box = (status: (typeof statuses)[number]) => html`
    <label><input type="checkbox" checked=${wanted.statuses.includes(status)}
      onChange=${(event: Event) => toggle(status, (event.target as HTMLInputElement).checked)} /> ${status}</label>
  `;
  return html`
    <form class="filters" onSubmit=${apply} role="search">
      <label class="wide">Metadata contains (JSON)
        <input name="metadata" value=${text} spellcheck=${false} autocomplete="off" placeholder=${'{"env": "dev"}'}
          aria-invalid=${problem !== null} aria-describedby="filter-problem"
          onInput=${(event: Event) => setText((event.target as HTMLInputElement).value)} />
      </label>
      <label>Template
        <input name="template" value=${template} spellcheck=${false} autocomplete="off"
          onInput=${(event: Event) => setTemplate((event.target as HTMLInputElement).value)} />
      </label>
      <fieldset><legend>Status</legend>${statuses.map(box)}</fieldset>
      <button class="quiet">Apply</button>
      ${(wanted.metadata || wanted.template) && html`<button type="button" class="quiet" onClick=${clear}>Clear</button>`}
    </form>
    <div id="filter-problem"><${Problem} words=${problem} /></div>
  `;
}

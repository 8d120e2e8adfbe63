import { html } from '../html.ts';
import { Problem, useAction } from './action.ts';
import { Dialog } from './dialog.ts';

/** Asks before something that can't be undone. `onDone` is called once it has succeeded. */
export function Confirm({
  title,
  words,
  action,
  work,
  onDone,
  onClose,
}: {
  title: string;
  words: string;
  action: string;
  work: () => Promise<unknown>;
  onDone: () => void;
  onClose: () => void;
}) {
  const { run, isBusy, problem } = useAction();
  const go = async () => {
    if (await run(work)) onDone();
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <p>${words}</p>
      <${Problem} words=${problem} />
      <p class="buttons">
        <button class="danger" disabled=${isBusy} onClick=${go}>${action}</button>
        <button class="quiet" autofocus onClick=${onClose}>Cancel</button>
      </p>
    <//>
  `;
}

import type { FitAddon } from '@xterm/addon-fit';
import type { Terminal as Xterm } from '@xterm/xterm';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Schemas } from '../api/api.ts';
import { type Inside, procedure, stream } from '../api/envd.ts';
import { html } from '../html.ts';
import { wordsOf } from '../parts/action.ts';
import { addStyle, allowStyles } from '../parts/styles.ts';

type Message = Schemas['EnvdProcessMessage'];

/** A terminal in the machine. It is opened, and its library loaded, when somebody asks for it. */
export function Terminal({ inside }: { inside: Inside }) {
  const [round, setRound] = useState(0);
  return html`
    <section aria-labelledby="terminal">
      <div class="title">
        <h2 id="terminal">Terminal</h2>
        <button class="quiet" onClick=${() => setRound(round + 1)}>${round === 0 ? 'Open a terminal' : 'Open another'}</button>
      </div>
      ${round > 0 && html`<${Screen} key=${round} inside=${inside} />`}
    </section>
  `;
}

function Screen({ inside }: { inside: Inside }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const left = new AbortController();
    if (place.current) void run(inside, place.current, left.signal);
    return () => left.abort();
  }, []);
  return html`<div class="terminal" ref=${place}></div>`;
}

/**
 * Shows a terminal in an element, until its shell ends or the signal aborts, which ends the shell.
 */
async function run(inside: Inside, place: HTMLElement, signal: AbortSignal): Promise<void> {
  const [{ Terminal: Screen }, { FitAddon: Fit }] = await Promise.all([
    import('@xterm/xterm'),
    import('@xterm/addon-fit'),
  ]);
  addStyle('library/xterm.css');
  allowStyles();
  const screen = new Screen({ scrollback: 5000 });
  const fit = new Fit();
  screen.loadAddon(fit);
  screen.open(place);
  fit.fit();
  screen.focus();
  try {
    await converse(inside, screen, fit, place, signal);
    screen.write('\r\n[The shell has ended.]\r\n');
  } catch (error) {
    if (!signal.aborted) screen.write(`\r\n[${wordsOf(error)}]\r\n`);
  }
  if (signal.aborted) screen.dispose();
  else signal.addEventListener('abort', () => screen.dispose());
}

async function converse(
  inside: Inside,
  screen: Xterm,
  fit: FitAddon,
  place: HTMLElement,
  signal: AbortSignal,
): Promise<void> {
  const start = {
    process: { cmd: '/bin/bash', args: ['-i', '-l'], envs: { TERM: 'xterm-256color', LANG: 'C.UTF-8' } },
    pty: { size: { cols: screen.cols, rows: screen.rows } },
  };
  const { promise: pid, resolve: hasStarted } = Promise.withResolvers<number>();
  attach(inside, pid, screen, fit, place, signal);
  for await (const { event } of stream<Message>(inside, 'process.Process/Start', start, signal)) {
    const { start: started, data, end } = event;
    if (started) hasStarted(started.pid);
    // The next message is read when the screen has taken this one, so that a flood does not pile
    // up.
    if (data?.pty !== undefined) await new Promise<void>((taken) => screen.write(bytesOf(data.pty ?? ''), taken));
    if (end) return;
  }
}

/** Sends keys and sizes to the process, in order, once it has started. */
function attach(
  inside: Inside,
  pid: Promise<number>,
  screen: Xterm,
  fit: FitAddon,
  place: HTMLElement,
  signal: AbortSignal,
): void {
  let sending: Promise<unknown> = Promise.resolve();
  const send = (path: string, json: object) => {
    sending = sending
      .then(async () => procedure(inside, path, { process: { pid: await pid }, ...json }))
      .catch(() => {});
  };
  screen.onData((keys) => send('process.Process/SendInput', { input: { pty: base64(keys) } }));
  screen.onResize(({ cols, rows }) => send('process.Process/Update', { pty: { size: { cols, rows } } }));
  const watcher = new ResizeObserver(() => fit.fit());
  watcher.observe(place);
  signal.addEventListener('abort', () => {
    watcher.disconnect();
    send('process.Process/SendSignal', { signal: 'SIGNAL_SIGKILL' });
  });
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

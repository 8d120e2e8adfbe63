const { stderr } = process;
let shown = false;

/** Shows what is being done: one line that is rewritten on a terminal. */
export function progress(text: string): void {
  if (!stderr.isTTY) return;
  stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
  shown = true;
}

/** As progress; where standard error is no terminal it becomes a line. */
export function trial(text: string): void {
  if (stderr.isTTY) progress(text);
  else stderr.write(`${text}\n`);
}

/** Prints a line that stays. */
export function note(text: string): void {
  clearProgress();
  stderr.write(`${text}\n`);
}

/** Takes the progress line away. */
export function clearProgress(): void {
  if (shown) stderr.write('\r\x1b[K');
  shown = false;
}
